// SPDX-License-Identifier: MIT

// The client of the ssh2 package for the tests:
// client.js PORT USER KEY-FILE HOST-KEY CIPHER KEY-EXCHANGE COMMAND, "" for the package's choice.
// Streams and exit status are the command's; an error of SSH itself ends with 255.
'use strict';

const fs = require('fs');
const { Client } = require('ssh2');

const [port, username, keyFile, hostKey, cipher, kex, command] = process.argv.slice(2);

function fail(error) {
  console.error(`interop: ${error.message}`);
  process.exit(255);
}

const client = new Client();
client.on('error', fail);
client.on('ready', () => {
  client.exec(command, (error, stream) => {
    if (error) fail(error);
    let status = 255;
    stream.on('exit', (code) => { status = code === null ? 255 : code; });
    stream.on('close', () => {
      process.exitCode = status;
      client.end();
    });
    stream.pipe(process.stdout);
    stream.stderr.pipe(process.stderr);
    process.stdin.pipe(stream);
  });
});
client.connect({
  host: '127.0.0.1',
  port: Number(port),
  username,
  privateKey: fs.readFileSync(keyFile),
  hostVerifier: (shown) => shown.equals(Buffer.from(hostKey.split(' ')[1], 'base64')),
  algorithms: {
    ...(cipher ? { cipher: [cipher] } : {}),
    ...(kex ? { kex: [kex] } : {}),
  },
});
