//! One line of the table of settings, and the macro that makes the table and the struct from one text.

use super::{Config, Shape};

/// One setting: everything but its value.
pub struct Setting {
    /// Its name: `lease-ttl` is `--lease-ttl`, `TENURE_LEASE_TTL` and the key `lease-ttl`.
    pub name: &'static str,
    /// The section that it is listed in.
    pub section: &'static str,
    /// What it means, with unit and default in words where they need some; lines.
    pub doc: &'static [&'static str],
    /// Its default, as one would write it in the environment.
    pub default: &'static str,
    /// The least and the greatest value allowed.
    pub bound: Option<(&'static str, &'static str)>,
    /// How many words it takes.
    pub shape: Shape,
    /// Whether it is never shown and has no flag.
    pub secret: bool,
    pub(super) set: fn(&mut Config, &[String]) -> Result<(), String>,
    pub(super) show: fn(&Config) -> Vec<String>,
    pub(super) in_bound: fn(&Config) -> bool,
}

impl Setting {
    /// The variable of the environment: `TENURE_LEASE_TTL`.
    pub fn env(&self) -> String {
        format!("TENURE_{}", self.name.replace('-', "_").to_uppercase())
    }

    /// The variable that names a file with the secret, where this is one and no other setting has
    /// that variable (`TENURE_TOKEN_FILE` is `token-file`).
    pub fn env_file(&self) -> Option<String> {
        let file = format!("{}_FILE", self.env());
        let taken = Config::SETTINGS.iter().any(|other| other.env() == file);
        (self.secret && !taken).then_some(file)
    }

    /// The doc as one line.
    pub fn doc_line(&self) -> String {
        self.doc
            .iter()
            .map(|line| line.trim())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Its value as words; a secret is three stars.
    pub fn words(&self, config: &Config) -> Vec<String> {
        (self.show)(config)
    }
}

/// `lease_ttl` as `lease-ttl`, at compile time.
pub(super) const fn kebab<const N: usize>(field: &str) -> [u8; N] {
    let from = field.as_bytes();
    let mut to = [0; N];
    let mut at = 0;
    while at < N {
        to[at] = if from[at] == b'_' { b'-' } else { from[at] };
        at += 1;
    }
    to
}

macro_rules! settings {
    ($($section:literal { $(
        $(#[doc = $doc:literal])+
        $field:ident : $type:ty = $default:literal $(, within $low:literal $high:literal)? ;
    )+ })+) => {
        /// What a node is told before it starts. Each field is one setting.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($( $(#[doc = $doc])+ pub $field: $type, )+)+
        }

        impl Config {
            /// All settings, in the order in which people read them.
            pub const SETTINGS: &'static [$crate::config::Setting] = &[$($(
                $crate::config::Setting {
                    name: {
                        const LEN: usize = stringify!($field).len();
                        const NAME: [u8; LEN] = $crate::config::table::kebab(stringify!($field));
                        match std::str::from_utf8(&NAME) {
                            Ok(name) => name,
                            Err(_) => panic!("field names are ASCII"),
                        }
                    },
                    section: $section,
                    doc: &[$($doc),+],
                    default: $default,
                    bound: $crate::config::table::first(&[$(($low, $high))?]),
                    shape: <$type as $crate::config::Value>::SHAPE,
                    secret: <$type as $crate::config::Value>::SECRET,
                    set: |config, words| {
                        config.$field = $crate::config::Value::parse(words)?;
                        Ok(())
                    },
                    show: |config| $crate::config::Value::words(&config.$field),
                    in_bound: |_config| {
                        $( if !$crate::config::value::within(&_config.$field, $low, $high) {
                            return false;
                        } )?
                        true
                    },
                },
            )+)+];

            /// The defaults as written in the table, before anything is filled in.
            pub(crate) fn unresolved() -> Self {
                Self { $($( $field: $crate::config::value::default($default), )+)+ }
            }
        }
    };
}

/// The only element, if there is one.
pub(super) const fn first(
    bounds: &[(&'static str, &'static str)],
) -> Option<(&'static str, &'static str)> {
    match bounds {
        [] => None,
        [bound, ..] => Some(*bound),
    }
}

pub(super) use settings;
