//! A private PostgreSQL server for one run of the tests, from the machine's own binaries.
//!
//! It lives in a temporary folder, listens on loopback only, runs as an unprivileged user when the tests run as root,
//! and ends with the test process, however that ends: a shell waits for the process's pipe to close.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A running server.
pub(crate) struct Server {
    port: u16,
    bin: PathBuf,
    folder: PathBuf,
    /// The shell that stops the server when its standard input closes. Held for the life of the process.
    _guard: Child,
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(1);

/// The URL of a new database that holds what another one holds, to which nobody is connected any more.
pub(crate) fn copy_of(url: &str) -> String {
    let server = SERVER
        .get()
        .and_then(Option::as_ref)
        .expect("the other database is on it");
    let (_, name) = url.rsplit_once('/').unwrap();
    server.create(&["-T", name])
}

/// The URL of a new, empty database; nothing when the machine has no PostgreSQL. CI must have one.
pub(crate) fn new_database() -> Option<String> {
    Some(SERVER.get_or_init(Server::start).as_ref()?.new_database())
}

impl Server {
    /// The URL of a new, empty database.
    pub(crate) fn new_database(&self) -> String {
        self.create(&[])
    }

    fn create(&self, like: &[&str]) -> String {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        run(Command::new(client(&self.bin, "createdb"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p"])
            .arg(self.port.to_string())
            .args(like)
            .arg(&name));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Kills the server and all its processes with SIGKILL, as the machine does when it runs out of memory. It comes
    /// back by itself.
    pub(crate) fn kill(&self) {
        let pid = fs::read_to_string(self.folder.join("pid")).unwrap();
        let pid = pid.trim();
        let kill = format!("kill -9 {pid} $(pgrep -P {pid})");
        run(Command::new("sh").args(["-c", &kill]));
    }

    /// Starts a server; nothing when the machine has no PostgreSQL.
    pub(crate) fn start() -> Option<Self> {
        start()
    }
}

#[allow(
    clippy::zombie_processes,
    reason = "the server outlives this function; its shell ends it when this process does"
)]
fn start() -> Option<Server> {
    let Some(bin) = binaries() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI needs PostgreSQL: install its server package"
        );
        let _ = writeln!(
            std::io::stderr(),
            "\n*** No PostgreSQL server on this machine (looked in PATH and /usr/lib/postgresql): \
             THE TESTS COVER SQLITE ONLY. ***\n"
        );
        return None;
    };
    let folder = tempfile::Builder::new()
        .prefix("billing-gateway-postgres-")
        .tempdir()
        .unwrap()
        .keep();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let user = unprivileged();
    if let Some((uid, gid)) = user {
        chown(&data, Some(uid), Some(gid)).unwrap();
        chown(&folder, Some(uid), Some(gid)).unwrap();
    }
    let command = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir(&folder);
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command
    };
    run(command(&bin.join("initdb"))
        .args([
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
            "-D",
        ])
        .arg(&data));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // Whoever kills the server finds it back.
    let script = "(while [ ! -e \"$4/stop\" ]; do \"$1\" -D \"$2\" -p \"$3\" -k \"$2\" -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=400 \
                  -c shared_buffers=64MB >>\"$2/log\" 2>&1 & echo $! >\"$4/pid\"; wait $!; done) & server=$!; \
                  cat >/dev/null; touch \"$4/stop\"; pid=$(cat \"$4/pid\"); kill -TERM $pid; kill -INT $pid; wait $server; rm -rf \"$4\"";
    let mut shell = command(Path::new("/bin/sh"));
    let guard = shell
        .arg("-c")
        .arg(script)
        .arg("postgres-guard")
        .arg(bin.join("postgres"))
        .arg(&data)
        .arg(port.to_string())
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A signal for the test process (Ctrl-C) must not reach the server first.
        .process_group(0)
        .spawn()
        .unwrap();
    // pg_isready answers at once while nobody listens; it is asked again a bounded number of times.
    for _ in 0..2_000 {
        let up = Command::new(client(&bin, "pg_isready"))
            .args(["-h", "127.0.0.1", "-p"])
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        if up.success() {
            return Some(Server {
                port,
                bin,
                folder,
                _guard: guard,
            });
        }
    }
    panic!(
        "PostgreSQL did not start: {}",
        fs::read_to_string(data.join("log")).unwrap_or_default()
    );
}

/// A client program: beside the server's, or wherever PATH has it.
fn client(bin: &Path, name: &str) -> PathBuf {
    let beside = bin.join(name);
    if beside.is_file() { beside } else { PathBuf::from(name) }
}

fn binaries() -> Option<PathBuf> {
    let has = |folder: &Path| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let in_path = std::env::split_paths(&std::env::var_os("PATH")?).find(|folder| has(folder));
    in_path.or_else(|| {
        let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
            .ok()?
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .collect();
        versions.sort();
        versions.into_iter().rev().find(|folder| has(folder))
    })
}

/// The user to run the server as when the tests run as root, which PostgreSQL refuses.
fn unprivileged() -> Option<(u32, u32)> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if String::from_utf8_lossy(&id.stdout).trim() != "0" {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].into_iter().find_map(|name| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
