module github.com/containust/containust/examples/guestbook

go 1.26.0
