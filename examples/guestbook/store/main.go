// Command store keeps keys and values in a file.
//
//	store --listen :7000 --data /data
//
//	PUT  /keys/{key}         the body is the value
//	GET  /keys/{key}
//	GET  /keys?prefix=x      a list of {"key", "value"}, in order of the keys
//	GET  /healthz
package main

import (
	"flag"
	"io"
	"log"
	"net/http"

	"github.com/containust/containust/examples/guestbook/serve"
)

const maxValue = 64 << 10

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", ":7000", "`address` to serve on")
	data := flag.String("data", "/data", "`folder` to keep the data in")
	flag.Parse()

	s, err := open(*data)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("%d entries in %s", len(s.values), *data)
	err = serve.Run(*listen, handler(s))
	if closeErr := s.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		log.Fatal(err)
	}
}

func handler(s *store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		serve.JSON(w, http.StatusOK, s.List(r.URL.Query().Get("prefix")))
	})
	mux.HandleFunc("GET /keys/{key...}", func(w http.ResponseWriter, r *http.Request) {
		value, ok := s.Get(r.PathValue("key"))
		if !ok {
			serve.Error(w, http.StatusNotFound, "no such key")
			return
		}
		if _, err := io.WriteString(w, value); err != nil {
			log.Printf("answer: %v", err)
		}
	})
	mux.HandleFunc("PUT /keys/{key...}", func(w http.ResponseWriter, r *http.Request) {
		value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxValue))
		if err != nil {
			serve.Error(w, http.StatusRequestEntityTooLarge, "a value has at most 64 KiB")
			return
		}
		if err := s.Put(r.PathValue("key"), string(value)); err != nil {
			log.Printf("put: %v", err)
			serve.Error(w, http.StatusInternalServerError, "the value was not stored")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
