//! Links between nodes: long-lived connections by which a node's crash is noticed at once instead of after its lease. Carries no task and
//! no decision about one; what it does to a dead node is to end its lease, which the fences make harmless where it is wrong.
//!
//! - [`Listener`] answers those that watch this node, and says goodbye to them.
//! - [`Dialer`] reaches another node; both prove that they know the cluster's token, without showing it.
//! - [`Keeper`] watches whom the [`roster`] says, judges what a broken link shows by [`evidence`], and acts on it within an [`allowance`].

pub mod allowance;
mod case;
mod cases;
mod dial;
pub mod evidence;
mod handshake;
mod hold;
mod keep;
mod link;
mod listen;
mod network;
pub mod roster;
mod secret;
mod tls;
mod wire;

pub use dial::Dialer;
pub use handshake::Us;
pub use keep::{Keeper, Links};
pub use listen::Listener;
pub use network::network;
pub use secret::Secrets;
pub use tls::{Pem, Tls, TlsError};

#[cfg(test)]
mod tests;
