//! Which network of which machine a process is in, so that two addresses that look alike can be told to be the same port. Linux only.

use sha2::{Digest, Sha256};

use crate::task::hex;

/// A word for this network, the same for all processes in it until the machine starts anew: from the kernel's boot id and the network
/// namespace, hashed. None where the system does not tell.
pub fn network() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = std::fs::read_link("/proc/self/ns/net").ok()?;
    let digest = Sha256::new().chain_update(boot.trim());
    let digest = digest.chain_update(space.to_string_lossy().as_bytes());
    Some(hex(&digest.finalize()[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_one_word() {
        let word = network().unwrap();
        assert_eq!(word.len(), 16);
        assert_eq!(network(), Some(word));
    }
}
