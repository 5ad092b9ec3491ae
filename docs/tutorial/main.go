// Command tutorial is the system of docs/tutorial.md: three services in one
// program. The front asks orders, and orders asks stock.
//
//	tutorial front  -listen 127.0.0.1:8080
//	tutorial orders -listen 127.0.0.1:8081 -timeout 300ms
//	tutorial stock  -listen 127.0.0.1:8082
//
// Each finds the one it asks by a variable: ORDERS_URL and STOCK_URL.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	asks := map[string]string{"front": "ORDERS_URL", "orders": "STOCK_URL", "stock": ""}
	if len(os.Args) < 2 {
		log.Fatal("usage: tutorial front|orders|stock -listen ADDRESS [-timeout DURATION]")
	}
	name := os.Args[1]
	variable, known := asks[name]
	if !known {
		log.Fatalf("no service %q", name)
	}
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:8080", "address")
	timeout := flags.Duration("timeout", 0, "longest wait for the next service; 0: for ever")
	_ = flags.Parse(os.Args[2:]) // exits by itself

	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "well") })
	http.HandleFunc("/", serve(name, variable, *timeout))
	log.Fatal(http.ListenAndServe(*listen, nil))
}

// serve answers with its own name behind that of whom it asks.
func serve(name, variable string, timeout time.Duration) http.HandlerFunc {
	client := &http.Client{Timeout: timeout}
	return func(w http.ResponseWriter, _ *http.Request) {
		if variable != "" {
			res, err := client.Get(os.Getenv(variable))
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			defer res.Body.Close()
			if _, err := io.Copy(w, res.Body); err != nil {
				return // whoever asked has gone
			}
		}
		fmt.Fprintln(w, name)
	}
}
