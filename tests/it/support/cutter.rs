//! A wire to PostgreSQL that can be cut at a commit: before the server hears of it, or after it was done and before the
//! answer comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const COMMIT: &[u8] = b"COMMIT\0";
/// What the text of a statement that is a whole transaction ends with.
const AT_ONCE: &[u8] = b"AS \"whole\"";
/// How the client names the statements that it has the server keep.
const KEPT: &[u8] = b"sqlx_s_";

/// When the next commit is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    /// The server never hears of it.
    Before = 1,
    /// The server has done it.
    After = 2,
}

/// The wire. Its connections end with it.
pub(crate) struct Cutter {
    url: String,
    armed: Arc<AtomicU8>,
    _wires: JoinSet<()>,
}

impl Cutter {
    /// A wire to the server of a database's URL.
    pub(crate) async fn before(database: &str) -> Self {
        let (_, rest) = database.split_once('@').unwrap();
        let (server, _) = rest.split_once('/').unwrap();
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = database.replace(&server, &listener.local_addr().unwrap().to_string());
        let armed = Arc::new(AtomicU8::new(0));
        let mut wires = JoinSet::new();
        let cut = Arc::clone(&armed);
        wires.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                wires.spawn(wire(client, server, Arc::clone(&cut)));
            }
        });
        Self {
            url,
            armed,
            _wires: wires,
        }
    }

    /// The database's URL over this wire.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Cuts the next commit.
    pub(crate) fn cut_next(&self, cut: Cut) {
        self.armed.store(cut as u8, Ordering::SeqCst);
    }

    /// Whether the last cut was made.
    pub(crate) fn has_cut(&self) -> bool {
        self.armed.load(Ordering::SeqCst) == 0
    }
}

/// Where these bytes are within those.
fn find(bytes: &[u8], these: &[u8]) -> Option<usize> {
    bytes.windows(these.len()).position(|window| window == these)
}

/// The name of the statement that is a whole transaction, when the server is asked to keep it.
fn kept(sent: &[u8]) -> Option<Vec<u8>> {
    let text = &sent[..find(sent, AT_ONCE)?];
    let name = &text[find(text, KEPT)?..];
    Some(name[..=find(name, &[0])?].to_vec())
}

/// Carries bytes both ways until an end closes or the wire is cut.
async fn wire(mut client: TcpStream, mut server: TcpStream, armed: Arc<AtomicU8>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    // The statement of this connection that is a whole transaction, once the server keeps it.
    let mut at_once: Option<Vec<u8>> = None;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let sent = &asked[..length];
                let is_commit = match kept(sent) {
                    Some(name) => {
                        at_once = Some(name);
                        false
                    }
                    None => find(sent, COMMIT).is_some() || at_once.as_ref().is_some_and(|name| find(sent, name).is_some()),
                };
                let cut = if is_commit { armed.swap(0, Ordering::SeqCst) } else { 0 };
                if cut == Cut::Before as u8 {
                    return;
                }
                if server.write_all(sent).await.is_err() {
                    return;
                }
                if cut == Cut::After as u8 {
                    let _ = server.read(&mut answered).await;
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
