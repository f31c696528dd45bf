//! Keeps web pages of other origins out where there are no tokens: a browser on this machine reaches a loopback listener for any page
//! it shows. Where there are tokens, they do that: a page has none.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};

use super::auth::Need;
use super::error::ApiError;
use crate::config::Config;

/// What browsers say of where a request comes from (Fetch Metadata, W3C).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// 64 characters of a foreign name are told.
const TOLD_CHARS_MAX: usize = 64;

/// The hosts that are this node.
pub(super) struct Ours {
    /// None where there are tokens: then nothing is asked.
    hosts: Option<Vec<String>>,
}

impl Ours {
    pub(super) fn new(config: &Config, has_tokens: bool) -> Self {
        let advertised = config.advertise.parse::<Uri>().ok();
        let advertised = advertised.as_ref().and_then(|uri| uri.host().map(bare));
        let hosts = [config.listen.ip().to_string(), "localhost".to_owned()];
        let hosts = hosts.into_iter().chain(advertised).collect();
        Self {
            hosts: (!has_tokens).then_some(hosts),
        }
    }

    /// Whether a request may come from where it does. What is open to all is; the host is asked of all else, for a page whose
    /// name was rebound to this address reads as well as it writes; the origin of what changes something.
    pub(super) fn admit(
        &self,
        need: Need,
        (method, uri, headers): (&Method, &Uri, &HeaderMap),
    ) -> Result<(), ApiError> {
        let (Some(hosts), Need::Role(_)) = (&self.hosts, need) else {
            return Ok(());
        };
        let host = uri
            .authority()
            .map(|authority| authority.as_str().to_owned())
            .or_else(|| text(headers, &header::HOST));
        // Browsers always name one; a program that does not is no page.
        if let Some(host) = &host
            && !is_ours(hosts, host)
        {
            return Err(foreign("Host", host));
        }
        if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
            return Ok(());
        }
        if let Some(site) = text(headers, &SITE)
            && !["same-origin", "none"].contains(&site.as_str())
        {
            return Err(foreign("Sec-Fetch-Site", &site));
        }
        if let Some(origin) = text(headers, &header::ORIGIN) {
            let authority = origin.split_once("://").map(|(_, rest)| rest);
            let same =
                |host: &String| authority.is_some_and(|name| name.eq_ignore_ascii_case(host));
            if !host.as_ref().is_some_and(same) {
                return Err(foreign("Origin", &origin));
            }
        }
        Ok(())
    }
}

fn is_ours(hosts: &[String], authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else {
        return false;
    };
    let host = bare(authority.host());
    let address = host.parse::<std::net::IpAddr>();
    address.is_ok_and(|address| address.is_loopback()) || hosts.contains(&host)
}

/// A host without the brackets of IPv6 addresses, in small letters.
fn bare(host: &str) -> String {
    host.trim_matches(['[', ']']).to_ascii_lowercase()
}

/// What is not text is told as such, and is nobody's name.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn foreign(header: &'static str, said: &str) -> ApiError {
    ApiError::Foreign {
        header,
        said: said.chars().take(TOLD_CHARS_MAX).collect(),
    }
}
