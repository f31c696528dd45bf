//! Proof of knowing what the nodes of a cluster share, without showing it: HMAC-SHA-256 over what both sides have said.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use crate::task::hex;

/// 8 secrets: more than are in use while one is being replaced by another.
pub(super) const SECRETS_MAX: usize = 8;

/// 64 bytes, SHA-256's block (RFC 2104).
const BLOCK: usize = 64;

/// What the nodes of a cluster share; one of them is enough. Where they share nothing, they prove just that.
#[derive(Clone)]
pub struct Secrets(Arc<[Vec<u8>]>);

impl Secrets {
    /// The first 8 of these; nothing where there is none.
    pub fn new(secrets: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut all: Vec<Vec<u8>> = secrets.into_iter().take(SECRETS_MAX).collect();
        if all.is_empty() {
            all.push(Vec::new());
        }
        Self(all.into())
    }

    /// A proof by each of them, in hexadecimal.
    pub(super) fn prove(&self, said: &[&str]) -> Vec<String> {
        let proofs = self.0.iter().map(|secret| hex(&proof(secret, said)));
        proofs.collect()
    }

    /// The one by which one of these proofs was made; looks at all of them, whichever it is.
    pub(super) fn matching(&self, said: &[&str], proofs: &[String]) -> Option<Self> {
        let mut found = None;
        for secret in self.0.iter() {
            let own = hex(&proof(secret, said));
            for given in proofs.iter().take(SECRETS_MAX) {
                if bool::from(own.as_bytes().ct_eq(given.as_bytes())) {
                    found = Some(Self::new([secret.clone()]));
                }
            }
        }
        found
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Over all that was said, each with its length, so that no two conversations look alike.
fn proof(secret: &[u8], said: &[&str]) -> [u8; 32] {
    let mut message = Vec::new();
    for part in said {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part.as_bytes());
    }
    hmac(secret, &message)
}

/// RFC 2104 with SHA-256.
fn hmac(secret: &[u8], message: &[u8]) -> [u8; 32] {
    let mut key = [0; BLOCK];
    if secret.len() > BLOCK {
        key[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        key[..secret.len()].copy_from_slice(secret);
    }
    let pad = |with: u8| key.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message);
    let outer = Sha256::new().chain_update(pad(0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test cases 1, 2 and 6 of RFC 4231.
    #[test]
    fn it_is_the_hmac_of_the_rfc() {
        let cases: [(&[u8], &[u8], &str); 3] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, expected) in cases {
            assert_eq!(hex(&hmac(key, message)), expected);
        }
    }

    #[test]
    fn one_shared_secret_is_enough_and_none_is_one_too() {
        let of = |secrets: &[&str]| Secrets::new(secrets.iter().map(|s| s.as_bytes().to_vec()));
        let said = ["a", "bc"];
        let proofs = of(&["old", "new"]).prove(&said);
        assert!(of(&["new", "newer"]).matching(&said, &proofs).is_some());
        assert!(of(&["newer"]).matching(&said, &proofs).is_none());
        assert!(of(&[]).matching(&said, &proofs).is_none());
        assert!(of(&[]).matching(&said, &of(&[]).prove(&said)).is_some());
        assert!(of(&["new"]).matching(&["ab", "c"], &proofs).is_none());
        assert_eq!(format!("{:?}", of(&["new"])), "***");
    }
}
