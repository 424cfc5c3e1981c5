//! A real mail server on loopback that is not ours (`tests/clients/smtp-server.py`), and what it took.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use billing_gateway::domain::mail::server::Server;
use billing_gateway::notify::mail::{self, Mailer, Passed};
use billing_gateway::{app::App, clock};
use chrono::TimeDelta;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;

use super::World;
use crate::clients::program;

/// What must come comes within this.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Post {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    said: mpsc::Receiver<String>,
}

impl Post {
    /// Begins one, if what it needs is installed.
    pub(crate) fn open() -> Option<Self> {
        Self::open_as(&[])
    }

    /// Begins one that takes nothing unprotected (`starttls` or `tls`), and from nobody but `an` with the password `p@ss`.
    /// Its certificate is for `localhost`, from an authority whose own one is at [`Post::authority`].
    pub(crate) fn open_protected(way: &str) -> Option<Self> {
        Self::open_as(&[way])
    }

    fn open_as(ways: &[&str]) -> Option<Self> {
        let mut command = program(".venv/bin/python", "smtp-server.py", ".venv/bin/aiosmtpd")?;
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path());
        command.arg(folder.path()).args(ways).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            printed
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| say.send(line))
        });
        let port = said
            .recv_timeout(PATIENCE)
            .expect("the mail server listens")
            .parse()
            .unwrap();
        Some(Self {
            child,
            folder,
            port,
            said,
        })
    }

    /// What it does with the next messages.
    pub(crate) fn does(&self, mode: &str) {
        std::fs::write(self.folder.path().join("mode"), mode).unwrap();
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Who certifies it.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// A mailer to it, whose links lead to a world.
    pub(crate) fn mailer(&self, world: &World) -> Mailer {
        mailer(&self.url(), world)
    }

    /// Every message that it took, in the order in which they came.
    pub(crate) fn took(&self) -> Vec<Value> {
        let read = |number: usize| std::fs::read(self.folder.path().join(format!("{number}.json"))).ok();
        (1..)
            .map_while(read)
            .map(|message| serde_json::from_slice(&message).unwrap())
            .collect()
    }

    /// What it took for an address: the subjects.
    pub(crate) fn subjects(&self, to: &str) -> Vec<String> {
        let took = self.took();
        let to_them = took.iter().filter(|message| message["to"] == serde_json::json!([to]));
        to_them
            .map(|message| super::text(&message["headers"]["subject"]))
            .collect()
    }

    /// Waits until it has taken one more message.
    pub(crate) fn takes_one(&self) {
        self.said.recv_timeout(PATIENCE).expect("a message comes");
    }
}

/// Makes an authority, and a certificate of `localhost`.
fn certify(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(DnType::CommonName, "the tests' authority");
    let key = KeyPair::generate().unwrap();
    let own = authority.self_signed(&key).unwrap();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let of_localhost = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let of_localhost = of_localhost.signed_by(&key, &issuer).unwrap();
    for (name, pem) in [
        ("authority.pem", own.pem()),
        ("cert.pem", of_localhost.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), pem).unwrap();
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A mailer to a server, whose links lead to a world.
pub(crate) fn mailer(url: &str, world: &World) -> Mailer {
    let server = Server::read(url).unwrap();
    let public_url = world.url.trim_end_matches("/graphql");
    Mailer::new(server, "Cloud Billing <billing@example.com>", public_url).unwrap()
}

/// A pass of a process, so much later by the machine's clock.
pub(crate) async fn pass_of(app: &App, mailer: Option<&Mailer>, later: TimeDelta) -> Passed {
    mail::pass(app, mailer, clock::machine_now() + later).await.unwrap()
}
