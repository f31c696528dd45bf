//! Real etcd members as child processes, the embedded etcd in their place, certificates and a lossy proxy,
//! for tests. Never used outside of them: what cannot work panics and says why.
//!
//! etcd is looked for in `TENURE_TEST_ETCD` (a directory or the binary), then in `.etcd/bin` of the workspace,
//! then in `PATH`. It must be at least 3.5.16. Test binaries whose name ends in `_embedded` run on the embedded
//! one.

mod backend;
mod binary;
mod certificates;
mod etcd;
mod inside;
mod member;
mod proxy;

pub use backend::Backend;
pub use certificates::Certificates;
pub use etcd::{Builder, Etcd};
pub use proxy::{Mode, Proxy};
