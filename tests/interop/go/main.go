// SPDX-License-Identifier: MIT

// The client of golang.org/x/crypto/ssh for the tests:
// main PORT USER KEY-FILE HOST-KEY CIPHER KEY-EXCHANGE COMMAND, "" for the library's own choice.
// PORT may be ADDRESS:PORT, and an empty HOST-KEY is any, as GitLab's Fargate driver has it.
// Streams and exit status are the command's; an error of SSH itself ends with 255.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

func fail(err error) {
	fmt.Fprintln(os.Stderr, "interop:", err)
	os.Exit(255)
}

func config(args []string) *ssh.ClientConfig {
	text, err := os.ReadFile(args[3])
	if err != nil {
		fail(err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		fail(err)
	}
	check := ssh.InsecureIgnoreHostKey()
	if args[4] != "" {
		host, _, _, _, err := ssh.ParseAuthorizedKey([]byte(args[4]))
		if err != nil {
			fail(err)
		}
		check = ssh.FixedHostKey(host)
	}
	result := &ssh.ClientConfig{
		User:            args[2],
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: check,
	}
	if args[5] != "" {
		result.Ciphers = []string{args[5]}
	}
	if args[6] != "" {
		result.KeyExchanges = []string{args[6]}
	}
	return result
}

func main() {
	if len(os.Args) != 8 {
		fail(errors.New("seven arguments are needed"))
	}
	address := os.Args[1]
	if !strings.Contains(address, ":") {
		address = "127.0.0.1:" + address
	}
	client, err := ssh.Dial("tcp", address, config(os.Args))
	if err != nil {
		fail(err)
	}
	session, err := client.NewSession()
	if err != nil {
		fail(err)
	}
	session.Stdin, session.Stdout, session.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = session.Run(os.Args[7])
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitStatus())
	} else if err != nil {
		fail(err)
	}
}
