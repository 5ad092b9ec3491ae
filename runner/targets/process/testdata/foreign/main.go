// Three services that know nothing of Squall: a store, an api before it, and a
// front before that. Addresses are fixed unless a variable says otherwise.
package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	var err error
	switch os.Args[1] {
	case "store":
		err = store()
	case "api":
		// As careless programs do.
		fmt.Println("store:", os.Getenv("STORE_URL"), "password:", os.Getenv("STORE_PASSWORD"))
		err = serve(func() (string, error) {
			address := os.Getenv("STORE_URL")
			if _, after, login := strings.Cut(address, "@"); login {
				address = after
			}
			address, _, _ = strings.Cut(cmp.Or(address, "store:7000"), "/")
			return ask(address)
		})
	case "front":
		err = serve(func() (string, error) { return fetch(cmp.Or(os.Getenv("API_URL"), "http://api:8080")) })
	case "migrate":
		fmt.Println("migrated")
	case "burn":
		for {
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func store() error {
	l, err := net.Listen("tcp", cmp.Or(os.Getenv("LISTEN"), ":7000"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(cmp.Or(os.Getenv("DATA"), "/data")+"/started", []byte("x"), 0o644); err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			for in := bufio.NewScanner(conn); in.Scan(); {
				fmt.Fprintln(conn, "pong")
			}
		}()
	}
}

func serve(do func() (string, error)) error {
	http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		text, err := do()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		io.WriteString(w, text)
	})
	return http.ListenAndServe(cmp.Or(os.Getenv("LISTEN"), ":8080"), nil)
}

func ask(address string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprintln(conn, "ping")
	return bufio.NewReader(conn).ReadString('\n')
}

func fetch(url string) (string, error) {
	resp, err := (&http.Client{Timeout: 2 * time.Second}).Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return string(text), err
}
