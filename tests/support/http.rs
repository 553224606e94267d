//! HTTP over a Unix socket, sharing no code with the product.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A keep-alive HTTP/1.1 connection over a Unix socket.
pub struct Connection(BufReader<UnixStream>);

impl Connection {
    pub fn open(socket: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a request and reads the answer: status and body.
    pub fn call(&mut self, method: &str, path: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: neap\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.0.get_mut().write_all(&request)?;
        let broken = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer broke off");
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(broken());
        }
        let status: u16 = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(broken)?;
        let mut length = 0;
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(broken());
            }
            let field = line.trim_end();
            if field.is_empty() {
                break;
            }
            if let Some((name, value)) = field.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(|_| broken())?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, body))
    }

    #[allow(dead_code, reason = "the load generator encodes by itself")]
    pub fn json(&mut self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (status, answer) = self.call(method, path, &bytes)?;
        Ok((status, serde_json::from_slice(&answer).unwrap_or(Value::Null)))
    }
}

/// The wire form of a job that runs `command`.
pub fn spec(name: &str, command: &[&str], workdir: &Path) -> Value {
    json!({
        "name": name, "project": "test", "queue": null,
        "task": {"command": command, "script": null, "workdir": workdir, "output": null, "env": {}},
        "resources": {"nodes": 1, "gpus": 0, "gpu_model": [], "cpus": 1, "memory": null},
        "launch": "job",
        "time": {"limit": 600, "expect": 1, "finish_by": null, "start_by": null, "not_before": null, "on_expire": "run"},
        "flex": {"delay": null, "max_delay": null, "min_saving": null, "slowdown": 0, "pause": null, "zones": []},
        "after": [], "retry": {"up_to": 2}, "hold": false,
    })
}
