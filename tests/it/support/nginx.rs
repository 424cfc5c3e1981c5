//! An nginx as it stands in front of many gateways: its buffers and timeouts are on, and nothing in its configuration
//! knows of streams. It ends with the test process, however that ends: a shell waits for the process's pipe to close.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running proxy.
pub(crate) struct Nginx {
    address: String,
    guard: Child,
    _folder: tempfile::TempDir,
}

/// Where Debian has it, which is in nobody's path but root's.
const PLACES: [&str; 3] = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];

#[allow(
    clippy::zombie_processes,
    reason = "a proxy that can't be started ends the test, and the shell with it"
)]
impl Nginx {
    /// A proxy to a server, which gives it up after so many seconds of silence; nothing when the machine has no nginx.
    /// CI must have one.
    pub(crate) async fn to(server: &str, silence_seconds: u32) -> Option<Self> {
        let Some(program) = PLACES.iter().find(|place| Path::new(place).exists()) else {
            assert!(std::env::var_os("CI").is_none(), "CI needs nginx");
            let _ = writeln!(
                std::io::stderr(),
                "\n*** NOTHING IS TESTED BEHIND NGINX: it is not installed ***\n"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|part| format!("{part}_temp_path temp_{part};"))
            .join(" ");
        let configuration = format!(
            "daemon off; master_process off; pid nginx.pid; error_log error.log;
             events {{ }}
             http {{ access_log off; {temporary}
               server {{ listen {address}; location / {{
                 proxy_pass http://{server}; proxy_http_version 1.1; proxy_set_header Connection '';
                 proxy_read_timeout {silence_seconds}s; }} }} }}"
        );
        fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        let script = r#""$0" -p "$1" -c nginx.conf -e error.log & read -r _; kill "$!""#;
        let guard = Command::new("sh")
            .args(["-c", script, program])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..1_000 {
            tick.tick().await;
            if TcpStream::connect(&address).is_ok() {
                return Some(Self {
                    address,
                    guard,
                    _folder: folder,
                });
            }
        }
        let log = fs::read_to_string(folder.path().join("error.log"));
        panic!("nginx does not listen: {log:?}");
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
