//! Real etcd clusters and a lossy proxy for tests. Never used outside of them.
