//! Who calls: bearer tokens, compared in constant time by their hashes; never keeps a token itself.

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::error::ApiError;
use crate::config::{Role, Token};

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: anyone may.
    Open,
    /// A token with at least this role, where tokens are configured.
    Role(Role),
}

/// The tokens that open the API, hashed.
pub(super) struct Tokens(Vec<([u8; 32], Role)>);

impl Tokens {
    pub(super) fn new(tokens: &[Token]) -> Self {
        let hashed = tokens
            .iter()
            .map(|token| (hash(token.secret.expose().as_bytes()), token.role));
        Self(hashed.collect())
    }

    /// Whether a request with these headers may pass.
    pub(super) fn admit(&self, need: Need, headers: &HeaderMap) -> Result<(), ApiError> {
        let Need::Role(needs) = need else {
            return Ok(());
        };
        if self.0.is_empty() {
            return Ok(());
        }
        let Some(given) = headers.get(header::AUTHORIZATION) else {
            return Err(ApiError::Unauthorized { given: false });
        };
        match bearer(given.as_bytes()).and_then(|token| self.role(token)) {
            None => Err(ApiError::Unauthorized { given: true }),
            Some(has) if has < needs => Err(ApiError::Forbidden { needs, has }),
            Some(_) => Ok(()),
        }
    }

    /// The highest role of this token. Looks at all of them, whichever it is.
    fn role(&self, token: &[u8]) -> Option<Role> {
        let given = hash(token);
        let mut role = None;
        for (known, has) in &self.0 {
            let same: Choice = known.ct_eq(&given);
            if bool::from(same) {
                role = role.max(Some(*has));
            }
        }
        role
    }
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}
