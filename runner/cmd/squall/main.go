// Command squall tests the resilience of microservice systems.
package main

import (
	"os"

	"squall/runner/app"
)

func main() {
	os.Exit(app.Main(app.FromOS()))
}
