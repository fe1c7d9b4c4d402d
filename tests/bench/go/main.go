// SPDX-License-Identifier: MIT

// What the driver that berth-driver replaces does at this end, with the same library:
//
//	main prepare DIRECTORY            makes the job's RSA-4096 key and keeps it in DIRECTORY
//	main run DIRECTORY PORT SCRIPT    logs in as root with it, does not look at the host key, and
//	                                  executes the script's text as the command
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(255)
	}
}

func prepare(directory string) {
	key, err := rsa.GenerateKey(rand.Reader, 4096)
	check(err)
	public, err := ssh.NewPublicKey(&key.PublicKey)
	check(err)
	block := pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	check(os.WriteFile(filepath.Join(directory, "key"), pem.EncodeToMemory(&block), 0o600))
	check(os.WriteFile(filepath.Join(directory, "key.pub"), ssh.MarshalAuthorizedKey(public), 0o600))
}

func run(directory, port, path string) {
	text, err := os.ReadFile(filepath.Join(directory, "key"))
	check(err)
	script, err := os.ReadFile(path)
	check(err)
	signer, err := ssh.ParsePrivateKey(text)
	check(err)
	client, err := ssh.Dial("tcp", "127.0.0.1:"+port, &ssh.ClientConfig{
		User:            "root",
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	check(err)
	session, err := client.NewSession()
	check(err)
	session.Stdout, session.Stderr = os.Stdout, os.Stderr
	err = session.Run(string(script))
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitStatus())
	}
	check(err)
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "prepare":
		prepare(os.Args[2])
	case len(os.Args) == 5 && os.Args[1] == "run":
		run(os.Args[2], os.Args[3], os.Args[4])
	default:
		check(errors.New("usage: prepare DIRECTORY | run DIRECTORY PORT SCRIPT"))
	}
}
