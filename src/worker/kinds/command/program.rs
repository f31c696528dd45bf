//! Which program a name means, and whether this node may start it. Looks at the file system, starts
//! nothing.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::asked::Asked;
use crate::worker::kinds::BuildError;

/// Variables that make an allowed program run code of somebody else's choice. An allowlist would
/// mean little if a payload could set them. A prefix ends in `*`.
const STEERING: [&str; 14] = [
    "PATH",
    "LD_*",
    "DYLD_*",
    "GLIBC_TUNABLES",
    "GCONV_PATH",
    "BASH_*",
    "ENV",
    "SHELLOPTS",
    "PERL5*",
    "PYTHON*",
    "RUBY*",
    "NODE_*",
    "JAVA_TOOL_OPTIONS",
    "GIT_*",
];

/// Which programs a node starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Any that the node's user may execute.
    Any,
    /// These files, each by its real path: absolute, no symbolic link on the way. Listing an
    /// interpreter allows whatever it can interpret.
    Only(Vec<PathBuf>),
}

/// Why a program is not started.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("program \"{0}\" is a relative path, give a name or an absolute path")]
    Relative(String),
    #[error("program \"{0}\" is not in the PATH of this node")]
    NotInPath(String),
    #[error("program {path} cannot be found: {problem}")]
    Missing { path: PathBuf, problem: String },
    #[error("program {0} is not among those that this node allows")]
    NotAllowed(PathBuf),
    #[error("variable {0} is refused where only listed programs are allowed, it could load others")]
    Steering(String),
}

pub(super) struct Programs {
    allow: Allow,
    path: OsString,
}

impl Programs {
    pub(super) fn new(allow: Allow, path: OsString) -> Result<Self, BuildError> {
        match &allow {
            Allow::Any => {}
            Allow::Only(listed) => listed.iter().try_for_each(|path| real(path))?,
        }
        Ok(Self { allow, path })
    }

    pub(super) fn path(&self) -> &OsStr {
        &self.path
    }

    /// The file to start. Where only some are allowed it is the real path that was compared, so
    /// that a link which is turned afterwards leads nowhere.
    pub(super) fn find(&self, asked: &Asked) -> Result<PathBuf, Refused> {
        let found = self.locate(&asked.argv[0])?;
        let listed = match &self.allow {
            Allow::Any => return Ok(found),
            Allow::Only(listed) => listed,
        };
        let real = found.canonicalize().map_err(|error| Refused::Missing {
            path: found,
            problem: error.to_string(),
        })?;
        if !listed.contains(&real) {
            return Err(Refused::NotAllowed(real));
        }
        match asked.env.keys().find(|name| steers(name)) {
            Some(name) => Err(Refused::Steering(name.clone())),
            None => Ok(real),
        }
    }

    fn locate(&self, name: &str) -> Result<PathBuf, Refused> {
        if name.starts_with('/') {
            return Ok(name.into());
        }
        if name.contains('/') {
            return Err(Refused::Relative(name.into()));
        }
        std::env::split_paths(&self.path)
            // An empty or relative entry means the working directory, which the payload chooses.
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(name))
            .find(|file| executable(file))
            .ok_or_else(|| Refused::NotInPath(name.into()))
    }
}

fn executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn steers(name: &str) -> bool {
    STEERING
        .iter()
        .any(|steering| match steering.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *steering,
        })
}

/// A list of links would allow whatever shares their target: of a program that is many in one, all
/// of them.
fn real(path: &Path) -> Result<(), BuildError> {
    let real = path.canonicalize().map_err(|error| BuildError::Program {
        path: path.into(),
        problem: error.to_string(),
    })?;
    if !real.is_file() {
        let problem = "it is no file".to_owned();
        return Err(BuildError::Program {
            path: path.into(),
            problem,
        });
    }
    if real.as_os_str() != path.as_os_str() {
        return Err(BuildError::NotReal {
            path: path.into(),
            real,
        });
    }
    Ok(())
}
