//! Who may do what with the admin API: roles, and the file that hands them out.

use std::path::Path;

use super::{Config, Error, Secret};

/// What a token allows; each role allows what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To look.
    Read,
    /// To submit and cancel tasks.
    Submit,
    /// Everything.
    Admin,
}

impl Role {
    /// The role of that name.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "read" => Some(Self::Read),
            "submit" => Some(Self::Submit),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// A token and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it allows.
    pub role: Role,
    /// The token.
    pub secret: Secret,
}

/// 16 bytes, the shortest token taken: what is shorter can be guessed.
pub(super) const TOKEN_BYTES_MIN: usize = 16;

impl Token {
    /// The tokens of a file, in its order.
    ///
    /// # Errors
    /// [`Error::Unreadable`], or [`Error::File`] with the line that is neither comment nor token.
    pub fn read(path: &Path) -> Result<Vec<Self>, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|(at, line)| {
                Self::line(line).map_err(|problem| Error::File {
                    path: path.to_owned(),
                    line: at + 1,
                    problem,
                })
            })
            .collect()
    }

    /// Never shows what it was given: it may be a token in the wrong place.
    fn line(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (role, token) = match words.as_slice() {
            [token] => (Role::Admin, *token),
            [role, token] => {
                let role = Role::parse(role).ok_or("the role is not one of read, submit, admin")?;
                (role, *token)
            }
            [] | [_, _, _, ..] => return Err("is not `role token`".to_owned()),
        };
        if token.len() < TOKEN_BYTES_MIN {
            let len = token.len();
            return Err(format!(
                "the token has {len} bytes; at least {TOKEN_BYTES_MIN} are needed"
            ));
        }
        Ok(Self {
            role,
            secret: Secret::new(token),
        })
    }
}

impl Config {
    /// All tokens that open the admin API: `token`, and those of `token-file`.
    ///
    /// # Errors
    /// As [`Token::read`].
    pub fn tokens(&self) -> Result<Vec<Token>, Error> {
        let alone = self.token.clone().map(|secret| Token {
            role: Role::Admin,
            secret,
        });
        let mut tokens: Vec<Token> = alone.into_iter().collect();
        if let Some(path) = &self.token_file {
            tokens.extend(Token::read(path)?);
        }
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_holds_roles_and_comments() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, "# who\n\nread 0123456789abcdef\nfedcba9876543210\n").unwrap();

        let tokens = Token::read(&path).unwrap();

        assert_eq!(tokens[0].role, Role::Read);
        assert_eq!(tokens[1].role, Role::Admin);
        assert_eq!(tokens[1].secret.expose(), "fedcba9876543210");
    }

    #[test]
    fn a_wrong_line_is_named_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        for (text, problem) in [
            ("# x\nroot 0123456789abcdef", ":2: the role is not one of"),
            ("read short", ":1: the token has 5 bytes; at least 16"),
            ("read 0123456789abcdef x", ":1: is not `role token`"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Token::read(&path).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            assert!(!error.contains("0123456789abcdef"), "{error}");
        }
    }
}
