// Hello world over FastCGI, as Go's net/http/fcgi serves it, on the unix socket that is named.
package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
)

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(fcgi.Serve(listener, http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("Content-Type", "text/plain; charset=utf-8")
		answer.Header().Set("Content-Length", "14")
		io.WriteString(answer, "Hello, World!\n")
	})))
}
