//! Certificates, configurations, and pairs of streams that are connected.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use trio::tls::rustls::client::WantsClientCert;
use trio::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use trio::tls::rustls::server::WebPkiClientVerifier;
use trio::tls::rustls::{self, ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};
use trio::tls::{TlsStream, client_builder, server_builder};
use trio::{ByteStream, SplitStream};

use super::line::{Line, narrow, wide};

/// Whom the server's certificate is for.
pub(crate) const NAME: &str = "trio.test.example";

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

pub(crate) use Version::{Tls12, Tls13};

pub(crate) const VERSIONS: [Version; 2] = [Tls13, Tls12];

/// A certificate and the key to it.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) certificate_pem: String,
    key: Vec<u8>,
    pub(crate) key_pem: String,
}

impl Identity {
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.clone()).unwrap()
    }
}

/// One authority, and whom it has vouched for.
pub(crate) struct Pki {
    pub(crate) authority: Identity,
    pub(crate) server: Identity,
    /// A server whose certificate was good once.
    pub(crate) expired: Identity,
    pub(crate) client: Identity,
}

/// The certificates of this process.
pub(crate) fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "the authority of the tests");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let sign = |name: &str, usage, expired| {
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            params.extended_key_usages = vec![usage];
            params.use_authority_key_identifier_extension = true;
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            if expired {
                params.not_after = rcgen::date_time_ymd(2001, 1, 1);
            }
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            identity(certificate.der(), certificate.pem(), &key)
        };
        Pki {
            server: sign(NAME, ExtendedKeyUsagePurpose::ServerAuth, false),
            expired: sign(NAME, ExtendedKeyUsagePurpose::ServerAuth, true),
            client: sign("client.test.example", ExtendedKeyUsagePurpose::ClientAuth, false),
            authority: identity(authority.der(), authority.pem(), authority.key()),
        }
    })
}

fn identity(certificate: &CertificateDer<'static>, certificate_pem: String, key: &KeyPair) -> Identity {
    Identity {
        certificate: certificate.clone(),
        certificate_pem,
        key: key.serialize_der(),
        key_pem: key.serialize_pem(),
    }
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(pki().authority.certificate.clone()).unwrap();
    roots
}

/// A client that trusts the authority, and has not talked to anybody before.
pub(crate) fn client_config(version: Version) -> ClientConfig {
    client_of(version).with_no_client_auth()
}

/// A client that trusts nobody.
pub(crate) fn untrusting_config() -> Arc<ClientConfig> {
    Arc::new(client_builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// A client that shows a certificate.
pub(crate) fn known_client_config(version: Version) -> ClientConfig {
    let client = &pki().client;
    client_of(version).with_client_auth_cert(client.chain(), client.key()).unwrap()
}

pub(crate) fn server_config() -> Arc<ServerConfig> {
    server_config_of(&pki().server)
}

pub(crate) fn server_config_of(identity: &Identity) -> Arc<ServerConfig> {
    trio::tls::server_config(identity.chain(), identity.key()).unwrap()
}

/// A server that wants to know its clients.
pub(crate) fn choosy_server_config() -> Arc<ServerConfig> {
    let provider = Arc::clone(server_config().crypto_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots()), provider).build().unwrap();
    let builder = server_builder().with_client_cert_verifier(verifier);
    Arc::new(builder.with_single_cert(pki().server.chain(), pki().server.key()).unwrap())
}

/// The builder of a client that speaks one version of the protocol and trusts the authority.
fn client_of(version: Version) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let versions: &[_] = match version {
        Tls12 => &[&rustls::version::TLS12],
        Tls13 => &[&rustls::version::TLS13],
    };
    let provider = Arc::clone(server_config().crypto_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    builder.with_root_certificates(roots())
}

/// A client and a server over this transport.
pub(crate) fn over<T>((here, there): (T, T), version: Version) -> (TlsStream<T>, TlsStream<T>) {
    let client = TlsStream::client(here, Arc::new(client_config(version)), NAME).unwrap();
    (client, TlsStream::server(there, server_config()).unwrap())
}

/// Over memory that holds anything.
pub(crate) fn wide_pair(version: Version) -> (TlsStream<Line>, TlsStream<Line>) {
    over(wide(), version)
}

/// Over streams that hold nothing.
pub(crate) fn narrow_pair(version: Version) -> (TlsStream<Line>, TlsStream<Line>) {
    over(narrow(), version)
}

/// Has both sides do the handshake.
pub(crate) async fn shake<A: ByteStream, B: ByteStream>(
    (mut client, mut server): (TlsStream<A>, TlsStream<B>),
) -> (TlsStream<A>, TlsStream<B>) {
    let (first, second) = both(client.do_handshake(), server.do_handshake()).await;
    first.unwrap();
    second.unwrap();
    (client, server)
}

/// Receives exactly this many bytes.
pub(crate) async fn receive_exactly(stream: &mut impl trio::ReceiveStream, count: usize) -> io::Result<Vec<u8>> {
    let mut data = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match stream.receive_some(&mut data[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => filled += more,
        }
    }
    Ok(data)
}

/// Sends back what comes until the end, then closes.
pub(crate) async fn echo<T: SplitStream>(mut stream: TlsStream<T>) -> io::Result<()> {
    // On the heap: a debug build moves futures about, and threads of tests have small stacks.
    let mut buffer = vec![0; 4096];
    loop {
        match stream.receive_some(&mut buffer).await? {
            0 => return stream.aclose().await,
            count => stream.send_all(&buffer[..count]).await?,
        }
    }
}

pub(crate) fn is<E: std::error::Error + 'static>(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<E>())
}

#[track_caller]
pub(crate) fn assert_fails<E: std::error::Error + 'static>(result: io::Result<impl std::fmt::Debug>) {
    assert!(result.as_ref().is_err_and(is::<E>), "{result:?}");
}

/// Runs two futures as two tasks. On the heap: a debug build moves futures about, and the stacks of test threads are
/// small.
pub(crate) async fn both<A: Future, B: Future>(first: A, second: B) -> (A::Output, B::Output) {
    trio::join(Box::pin(first), Box::pin(second)).await
}

/// A folder for files, which goes when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("trio-tls-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and gives its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
