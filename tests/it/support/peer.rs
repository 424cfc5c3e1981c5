//! Counterparts that others have written (`tests/clients`): as a server on loopback that ends with the test, or as a program that
//! answers once.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

/// What must come comes within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that prints its port when it listens, and ends when its standard input does: also when the test is killed.
pub(crate) struct Peer {
    child: Child,
    port: u16,
}

#[allow(
    clippy::zombie_processes,
    reason = "a counterpart that can't be started ends the test, and its own input with it"
)]
impl Peer {
    pub(crate) fn start(mut program: Command) -> Self {
        let mut child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the counterpart can be started");
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        let port = first.trim().parse().expect("the counterpart listens");
        Self { child, port }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://127.0.0.1:{}{path}", self.port).parse().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program answers to a question: JSON on its standard input, JSON on its standard output.
pub(crate) fn answer(mut program: Command, question: &Value) -> Value {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(question.to_string().as_bytes()).unwrap();
    drop(input);
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{question}: {said}");
    serde_json::from_str(&said).unwrap()
}

/// Waits until something is so that a counterpart has a hand in.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while !is_so().await {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("not so in time: {what}"));
}
