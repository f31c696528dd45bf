//! An authority, a server's and a client's certificate for loopback, made by the openssl command.
//! Never kept: they go with the cluster's directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The files of one authority.
#[derive(Debug, Clone)]
pub struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Makes them in a directory.
    ///
    /// # Panics
    /// Where the openssl command is missing or fails.
    pub fn generate(dir: &Path) -> Self {
        fs::create_dir_all(dir).expect("a directory for certificates");
        let made = Self {
            dir: dir.to_owned(),
        };
        made.key("ca");
        made.openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ]);
        made.signed("server", "serverAuth,clientAuth");
        made.signed("client", "clientAuth");
        made
    }

    /// The authority's certificate in PEM.
    pub fn ca_pem(&self) -> Vec<u8> {
        self.read("ca.pem")
    }

    /// The client's certificate and key in PEM.
    pub fn client_identity(&self) -> (Vec<u8>, Vec<u8>) {
        (self.read("client.pem"), self.read("client.key"))
    }

    /// The server's certificate and key in PEM: for 127.0.0.1 and localhost, and to be shown as a client, too.
    pub fn server_identity(&self) -> (Vec<u8>, Vec<u8>) {
        (self.read("server.pem"), self.read("server.key"))
    }

    pub(crate) fn etcd_flags(&self) -> Vec<String> {
        vec![
            format!("--cert-file={}", self.path("server.pem")),
            format!("--key-file={}", self.path("server.key")),
            format!("--trusted-ca-file={}", self.path("ca.pem")),
            "--client-cert-auth".to_owned(),
        ]
    }

    pub(crate) fn etcdctl_flags(&self) -> Vec<String> {
        vec![
            format!("--cert={}", self.path("client.pem")),
            format!("--key={}", self.path("client.key")),
            format!("--cacert={}", self.path("ca.pem")),
        ]
    }

    fn signed(&self, name: &str, usage: &str) {
        self.key(name);
        let (key, csr, pem, ext) = (
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.pem"),
            format!("{name}.ext"),
        );
        let extensions = format!(
            "basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
        );
        fs::write(self.dir.join(&ext), extensions).expect("the extensions are written");
        // etcd takes a client certificate's common name for a user where auth is on, so there is none.
        self.openssl(&[
            "req",
            "-new",
            "-key",
            &key,
            "-out",
            &csr,
            "-subj",
            "/O=tenure test",
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            &pem,
            "-days",
            "2",
            "-extfile",
            &ext,
        ]);
    }

    fn key(&self, name: &str) {
        let key = format!("{name}.key");
        self.openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            &key,
        ]);
    }

    fn openssl(&self, args: &[&str]) {
        let output = Command::new("openssl")
            .args(args)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .output()
            .expect("the openssl command runs: install it for the TLS tests");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {args:?}: {said}");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.join(name)).expect("openssl wrote it")
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}
