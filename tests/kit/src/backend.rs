//! Which etcd a test runs on.

/// What answers as etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Processes of a real etcd.
    Etcd,
    /// The embedded etcd, in this process, behind ports of its own.
    Embedded,
}

impl Backend {
    /// The embedded one for a test binary whose name ends in `_embedded`, the real one for others.
    pub(crate) fn of_this_binary() -> Self {
        let own = std::env::current_exe().ok();
        let name = own.as_deref().and_then(|path| path.file_name());
        Self::of(&name.unwrap_or_default().to_string_lossy())
    }

    /// Of a binary's name, behind which cargo writes a hash.
    fn of(binary: &str) -> Self {
        let name = binary.rsplit_once('-').map_or(binary, |(name, _)| name);
        if name.ends_with("_embedded") {
            Self::Embedded
        } else {
            Self::Etcd
        }
    }
}

/// Makes two tests of each function that takes a [`Backend`], for tests that have no binary of their own:
/// `on_etcd::name` and `on_embedded::name`.
#[macro_export]
macro_rules! on_each_backend {
    ($($test:ident),+ $(,)?) => {
        mod on_etcd {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::Backend::Etcd).await;
            })+
        }
        mod on_embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::Backend::Embedded).await;
            })+
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_says_its_backend() {
        assert_eq!(Backend::of("life_embedded-0f3a5b"), Backend::Embedded);
        assert_eq!(Backend::of("life-0f3a5b"), Backend::Etcd);
        assert_eq!(Backend::of("tenure_embedded_test-0f3a5b"), Backend::Etcd);
    }

    #[test]
    fn each_test_of_the_list_that_the_embedded_one_skips_is_there() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let config = std::fs::read_to_string(root.join(".config/nextest.toml")).unwrap();
        let listed = config.split("test(=").skip(1);
        let listed: Vec<&str> = listed.filter_map(|rest| rest.split(')').next()).collect();
        assert!(!listed.is_empty());
        for test in listed {
            let (module, name) = test.rsplit_once("::").unwrap();
            let file = format!("{}.rs", module.replace("::", "/"));
            let own = format!("async fn {name}(");
            let found = ["tests", "cluster/tests"].iter().any(|dir| {
                let source = std::fs::read_to_string(root.join(dir).join(&file));
                source.is_ok_and(|source| source.contains(&own))
            });
            assert!(found, "{test} is skipped and is not there");
        }
    }
}
