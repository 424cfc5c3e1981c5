//! Requests to targets that somebody else chose. They go to the public internet only: every address that a name stands
//! for is looked at when the connection is made, so that a name can't be pointed elsewhere behind our back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use crate::domain::address::is_public;
use crate::error::Error;

/// How long a request may take, its answer included.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);

/// Looks names up, and leaves out the addresses that are not the public's.
#[derive(Clone, Copy, Debug)]
struct Guarded {
    private: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.filter(|found| private || is_public(found.ip())).collect();
            if addresses.is_empty() {
                return Err("the name stands for no address of the public internet".into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// Sends requests to the public internet; with `private`, for development, anywhere.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    client: Client,
    private: bool,
}

impl Targets {
    /// # Errors
    /// [`Error::Internal`] when the machine has no TLS.
    pub(super) fn new(private: bool) -> Result<Self, Error> {
        let client = Client::builder()
            .dns_resolver(Arc::new(Guarded { private }))
            // A redirect would lead past all of this, and a proxy would connect in our place.
            .redirect(Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .connect_timeout(CONNECTING)
            .user_agent(concat!("billing-gateway/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::internal)?;
        Ok(Self { client, private })
    }

    /// Sends a body with headers, and answers the status; or what went wrong, in words without the address's secrets.
    pub(super) async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<u16, String> {
        let url = Url::parse(url).map_err(|error| format!("the address can't be read: {error}"))?;
        self.check(&url)?;
        let mut request = self.client.post(url).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        match request.body(body).send().await {
            // What it answers besides is not read.
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(error) => Err(words(&error)),
        }
    }

    /// A host that is an address is never looked up.
    fn check(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        match literal {
            Some(address) if !self.private && !is_public(address) => {
                Err("the address is not one of the public internet".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// An error with what caused it.
fn words(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let kind = if error.is_timeout() {
        "it took too long"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the request failed"
    };
    let mut cause = error.source();
    let mut last = None;
    while let Some(inner) = cause {
        last = Some(inner.to_string());
        cause = inner.source();
    }
    last.map_or_else(|| kind.to_owned(), |last| format!("{kind}: {last}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn nothing_is_sent_to_this_machine_by_name_or_by_number() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let targets = Targets::new(false).unwrap();
        for host in [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "2130706433",
            "0x7f000001",
        ] {
            let refused = targets
                .post(&format!("http://{host}:{port}/"), &[], "{}".to_owned())
                .await;
            let why = refused.unwrap_err();
            assert!(why.contains("public internet"), "{host}: {why}");
        }
        // Nobody came.
        let came = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
        assert!(came.is_err());
    }
}
