//! The mail server that messages are handed to, as an operator writes it in one address.

use std::fmt;

/// How the way to the server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the first byte (`smtps://`).
    Whole,
    /// STARTTLS, or nothing is sent: with a password, and with `?tls=required`.
    Required,
    /// STARTTLS where the server offers it.
    Offered,
}

/// A mail server.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is protected.
    pub protection: Protection,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

impl fmt::Debug for Server {
    /// Without the password: what is printed is read by many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("protection", &self.protection)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Reads `smtp://user:password@host:587` or `smtps://user:password@host`. A user and a password are written as in
    /// any address: what has a meaning in one is percent-encoded.
    ///
    /// # Errors
    /// What is wrong, in words without the address: it may hold a password.
    pub fn read(text: &str) -> Result<Self, String> {
        const SHAPE: &str =
            "must look like smtp://USER:PASSWORD@HOST:587, smtp://HOST:25 or smtps://USER:PASSWORD@HOST";
        let (scheme, rest) = text.split_once("://").ok_or(SHAPE)?;
        let (rest, query) = rest
            .split_once('?')
            .map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(user, place)| (Some(user), place));
        let credentials = match user {
            None => None,
            Some(user) => {
                let (user, password) = user
                    .split_once(':')
                    .ok_or("needs a password beside the user, as in smtp://USER:PASSWORD@HOST")?;
                Some((decoded(user)?, decoded(password)?))
            }
        };
        let required = match query {
            None => false,
            Some("tls=required") => true,
            Some(_) => return Err("knows only ?tls=required".to_owned()),
        };
        let (protection, usual) = match scheme {
            "smtps" => (Protection::Whole, 465),
            "smtp" if required || credentials.is_some() => (Protection::Required, 587),
            "smtp" => (Protection::Offered, 25),
            _ => return Err(SHAPE.to_owned()),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (
                host,
                port.parse().ok().filter(|port| *port > 0).ok_or("has a bad port")?,
            ),
            None => (place, usual),
        };
        let is_host = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
        if !is_host {
            return Err(SHAPE.to_owned());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            protection,
            credentials,
        })
    }
}

/// A text in which `%2F` stands for a slash.
fn decoded(text: &str) -> Result<String, String> {
    const WRONG: &str = "has a user or password that is not percent-encoded as it must be";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(WRONG);
            let value = digit(rest.next())? * 16 + digit(rest.next())?;
            bytes.push(u8::try_from(value).map_err(|_| WRONG)?);
        } else {
            bytes.push(byte);
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| WRONG)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(WRONG.to_owned());
    }
    Ok(text)
}
