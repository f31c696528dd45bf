//! One etcd member as reached through one endpoint: its clients, made when first needed.
//! Never chooses between members.

use std::time::Duration;

use etcd_client as etcd;
use tokio::sync::OnceCell;

use crate::failure::{Failure, FailureKind};
use crate::options::{Options, PING_ANSWER, PING_EVERY};

/// 256 MiB, how large an answer may be: a page is bounded by its reader, a watch answer holds whole revisions.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// One endpoint. Watches have a connection of their own, so that large pages do not starve them.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    /// The way to it where it is in this process; otherwise the URL is.
    channel: Option<etcd::Channel>,
    unary: OnceCell<Unary>,
    streams: OnceCell<Streams>,
}

/// Clients for requests with one answer.
pub(crate) struct Unary {
    client: etcd::Client,
    pub(crate) kv: etcd::KvClient,
    pub(crate) lease: etcd::LeaseClient,
    pub(crate) maintenance: etcd::MaintenanceClient,
}

/// The client for watches.
pub(crate) struct Streams {
    client: etcd::Client,
    pub(crate) watch: etcd::WatchClient,
}

impl Endpoint {
    pub(crate) fn new(url: &str) -> Self {
        Self::reached_by(url, None)
    }

    pub(crate) fn in_process(name: &str, channel: &etcd::Channel) -> Self {
        Self::reached_by(name, Some(channel.clone()))
    }

    fn reached_by(url: &str, channel: Option<etcd::Channel>) -> Self {
        Self {
            url: url.to_owned(),
            channel,
            unary: OnceCell::new(),
            streams: OnceCell::new(),
        }
    }

    /// The clients for requests; connecting, and logging in where there are credentials.
    pub(crate) async fn unary(&self, options: &Options) -> Result<&Unary, Failure> {
        self.unary
            .get_or_try_init(|| async {
                let client = self.connect(options).await?;
                Ok(Unary {
                    kv: client
                        .kv_client()
                        .max_decoding_message_size(ANSWER_BYTES_MAX),
                    lease: client.lease_client(),
                    maintenance: client.maintenance_client(),
                    client,
                })
            })
            .await
    }

    /// The client for watches.
    pub(crate) async fn streams(&self, options: &Options) -> Result<&Streams, Failure> {
        self.streams
            .get_or_try_init(|| async {
                let client = self.connect(options).await?;
                Ok(Streams {
                    watch: client
                        .watch_client()
                        .max_decoding_message_size(ANSWER_BYTES_MAX),
                    client,
                })
            })
            .await
    }

    /// Asks for new tokens: etcd-client does it for requests, not for streams.
    pub(crate) async fn log_in_again(&self, limit: Duration) {
        let clients = [
            self.unary.get().map(|unary| &unary.client),
            self.streams.get().map(|streams| &streams.client),
        ];
        for client in clients.into_iter().flatten() {
            match tokio::time::timeout(limit, client.refresh_token()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(endpoint = %self.url, %error, "logging in failed"),
                Err(_) => tracing::warn!(endpoint = %self.url, "logging in timed out"),
            }
        }
    }

    async fn connect(&self, options: &Options) -> Result<etcd::Client, Failure> {
        let connecting = async {
            let connect = Some(connect_options(options));
            match &self.channel {
                Some(channel) => etcd::Client::from_channel(channel.clone(), connect).await,
                None => etcd::Client::connect([self.url.as_str()], connect).await,
            }
        };
        match tokio::time::timeout(options.request_timeout, Box::pin(connecting)).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => {
                let failure = Failure::from_client(&error, &self.url);
                // Whatever broke while logging in, the request itself was not sent.
                let kind = if failure.kind.definite() {
                    failure.kind
                } else {
                    FailureKind::NotSent
                };
                Err(Failure { kind, ..failure })
            }
            Err(_) => Err(Failure::new(
                FailureKind::NotSent,
                &self.url,
                "logging in timed out",
            )),
        }
    }
}

fn connect_options(options: &Options) -> etcd::ConnectOptions {
    let mut connect = etcd::ConnectOptions::new()
        .with_keep_alive(PING_EVERY, PING_ANSWER)
        .with_keep_alive_while_idle(false)
        .with_connect_timeout(options.connect_timeout)
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    if let Some(credentials) = &options.credentials {
        connect = connect.with_user(&credentials.user, &credentials.password);
    }
    if let Some(tls) = &options.tls {
        let mut config =
            etcd::TlsOptions::new().ca_certificate(etcd::Certificate::from_pem(&tls.ca_pem));
        if let Some((certificate, key)) = &tls.identity {
            config = config.identity(etcd::Identity::from_pem(certificate, key));
        }
        if let Some(domain) = &tls.domain {
            config = config.domain_name(domain);
        }
        connect = connect.with_tls(config);
    }
    connect
}
