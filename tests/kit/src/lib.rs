//! Real etcd members as child processes, certificates and a lossy proxy, for tests.
//! Never used outside of them: what cannot work panics and says why.
//!
//! etcd is looked for in `TENURE_TEST_ETCD` (a directory or the binary), then in `.etcd/bin` of the workspace,
//! then in `PATH`. It must be at least 3.5.16.

mod binary;
mod certificates;
mod etcd;
mod member;
mod proxy;

pub use certificates::Certificates;
pub use etcd::{Builder, Etcd};
pub use proxy::{Mode, Proxy};
