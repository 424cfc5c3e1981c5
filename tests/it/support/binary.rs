//! The real binary as an operator runs it: in a folder of its own, with nothing of the tests' environment.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

/// What must come comes within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, to be run in a folder.
pub(crate) fn gateway(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_billing-gateway"));
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BILLING_")) {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    gateway(folder).args(arguments).output().unwrap()
}

/// Runs what must succeed, and answers what it printed.
pub(crate) fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A process that runs until it is told to end. It is killed when the test lets go of it.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Begins to serve on a free port, and answers the process and the address when it listens.
    pub(crate) fn serve(folder: &Path, arguments: &[&str]) -> (Self, String) {
        Self::serve_trusting(folder, arguments, None)
    }

    /// The same, trusting whom a file names and nobody else.
    pub(crate) fn serve_trusting(folder: &Path, arguments: &[&str], authority: Option<&Path>) -> (Self, String) {
        let mut command = gateway(folder);
        if let Some(file) = authority {
            command.env("SSL_CERT_FILE", file);
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let logs = child.stderr.take().unwrap();
        let process = Self { child };
        let address = first(logs, |line| {
            let logged: Value = serde_json::from_str(line).ok()?;
            (logged["fields"]["message"] == "serving").then(|| logged["fields"]["address"].as_str().unwrap().to_owned())
        });
        (process, address)
    }

    /// Begins a command that prints, and answers the process and its first line.
    pub(crate) fn saying(folder: &Path, arguments: &[&str]) -> (Self, String) {
        let mut command = gateway(folder);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let printed = child.stdout.take().unwrap();
        let process = Self { child };
        (process, first(printed, |line| Some(line.to_owned())))
    }

    /// Begins a command that ends by itself.
    pub(crate) fn begin(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = gateway(folder);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        Self {
            child: command.spawn().unwrap(),
        }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, and answers whether that was well.
    pub(crate) fn succeeds(mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// SIGTERM, as a supervisor sends it; answers the exit code, none when the signal was its end.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }

    /// SIGKILL: it gets no chance to end well.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first thing found in the lines of a pipe, which is read to its end so that its writer never waits.
fn first(pipe: impl Read + Send + 'static, wanted: impl Fn(&str) -> Option<String> + Send + 'static) -> String {
    let (found, finding) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let mut open = Some(found);
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if let Some(found) = &open {
                said.push(line);
                if let Some(what) = said.last().and_then(|line| wanted(line)) {
                    let _ = found.send(Ok(what));
                    open = None;
                }
            }
        }
        if let Some(found) = open {
            let _ = found.send(Err(said.join("\n")));
        }
    });
    let found = finding.recv_timeout(PATIENCE).expect("a line that must come");
    found.unwrap_or_else(|said| panic!("the process ended: {said}"))
}
