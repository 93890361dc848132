// Command visit signs the guestbook over its exposed port and reads it back.
//
//	go run ./visit http://127.0.0.1:8080 "Hello"
//
// It does what curl would, on a machine that has none.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

type entry struct {
	Name    string    `json:"name"`
	Message string    `json:"message"`
	Time    time.Time `json:"time"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: visit URL MESSAGE")
	}
	if err := visit(os.Stdout, os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

// visit fails unless the page is there and the entry that it wrote comes back
// first.
func visit(out io.Writer, url, message string) error {
	client := &http.Client{Timeout: 10 * time.Second}
	page, err := ask(client.Get(url + "/"))
	if err != nil {
		return fmt.Errorf("get the page: %w", err)
	}
	if !bytes.Contains(page, []byte("<h1>")) {
		return fmt.Errorf("%s/ is no page of the guestbook", url)
	}

	body, err := json.Marshal(entry{Name: "make demo", Message: message})
	if err != nil {
		return err
	}
	text, err := ask(client.Post(url+"/entries", "application/json", bytes.NewReader(body)))
	if err != nil {
		return fmt.Errorf("sign the book: %w", err)
	}
	var written entry
	if err := json.Unmarshal(text, &written); err != nil {
		return fmt.Errorf("sign the book: %w", err)
	}

	text, err = ask(client.Get(url + "/entries"))
	if err != nil {
		return fmt.Errorf("read the book: %w", err)
	}
	var entries []entry
	if err := json.Unmarshal(text, &entries); err != nil {
		return fmt.Errorf("read the book: %w", err)
	}
	if len(entries) == 0 || entries[0] != written {
		return fmt.Errorf("wrote %v, which is not the first of the %d entries read", written, len(entries))
	}
	for _, e := range entries[:min(3, len(entries))] {
		fmt.Fprintf(out, "  %s  %s: %s\n", e.Time.Format(time.DateTime), e.Name, e.Message)
	}
	if more := len(entries) - 3; more > 0 {
		fmt.Fprintf(out, "  and %d more\n", more)
	}
	return nil
}

// ask returns the body of a good answer; it takes what the client's methods
// return.
func ask(resp *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(text))
	}
	return text, nil
}
