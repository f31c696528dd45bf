//! Sessions, election, fenced transactions, watches and membership on etcd.
