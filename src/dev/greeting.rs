//! What `tenure dev` says once it is ready: where it answers, its token, what to try.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::config::{Config, Embedded};

/// Three commands to begin with.
const TRY: [&str; 3] = ["task run -- echo hello", "leader get", "leader resign"];

/// What there is to say.
pub(super) struct Greeting<'a> {
    pub(super) config: &'a Config,
    /// The nodes and their URLs.
    pub(super) names: &'a [(String, String)],
    pub(super) token: &'a str,
    /// Where clients find it, or why they do not.
    pub(super) note: Result<&'a Path, &'a io::Error>,
}

impl Greeting<'_> {
    pub(super) fn text(&self) -> String {
        let kept = match (&self.config.embedded, &self.config.data_dir) {
            (Embedded::Durable, Some(dir)) => format!("kept in {}", dir.display()),
            (Embedded::No | Embedded::Durable | Embedded::Memory, _) => {
                "in memory, gone when this ends (--data-dir DIR keeps it)".to_owned()
            }
        };
        let count = self.names.len();
        let mut text = format!("\ntenure is ready: {count} nodes; all is {kept}\n\n");
        for (name, url) in self.names {
            let _ = writeln!(text, "  {url}  {name}");
        }
        let token = self.token;
        let _ = writeln!(text, "  token  {token}");
        let _ = write!(text, "\nTry, in another terminal:\n\n");
        for line in TRY {
            let _ = writeln!(text, "  {} {line}", program());
        }
        let server = self.names.first().map_or("", |(_, url)| url);
        let _ = match self.note {
            Ok(path) => write!(
                text,
                "\nThese find it by {}. Other users and programs need:\n\n",
                path.display()
            ),
            Err(why) => write!(
                text,
                "\nBefore that, for no note could be left for them ({why}):\n\n"
            ),
        };
        let _ = writeln!(
            text,
            "  export TENURE_SERVER={server} TENURE_TOKEN={token}\n"
        );
        if self.config.allow_command {
            text += "Whoever has the token can run programs as you (--allow-command=false: none). ";
        }
        text + "Ctrl-C stops it.\n"
    }
}

/// How this program can be called from anywhere: by name where it was, else by its path.
fn program() -> String {
    let by_name = std::env::args_os()
        .next()
        .is_none_or(|arg| !arg.to_string_lossy().contains('/'));
    match std::env::current_exe() {
        Ok(path) if !by_name => {
            let path = path.display().to_string();
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
            if path.chars().all(plain) {
                path
            } else {
                format!("'{}'", path.replace('\'', r"'\''"))
            }
        }
        Ok(_) | Err(_) => "tenure".to_owned(),
    }
}
