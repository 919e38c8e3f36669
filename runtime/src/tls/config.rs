//! Configurations for those who need nothing special.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};

use super::error::TlsError;

/// The cryptography that this crate comes with. Not the process' default provider, which somebody else may have set.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// A client's configuration from scratch: for verifiers of your own, certificates that the client shows, and so on.
///
/// TLS 1.2 and 1.3 with the cryptography of `ring`. For other cryptography, begin with rustls' own
/// [`ClientConfig::builder_with_provider`].
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use trio::tls::{self, rustls};
/// let mut config = tls::client_builder()
///     .with_root_certificates(rustls::RootCertStore::empty())
///     .with_no_client_auth();
/// config.alpn_protocols = vec![b"http/1.1".to_vec()];
/// let config = Arc::new(config);
/// # drop(config);
/// ```
pub fn client_builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for all versions")
}

/// A server's configuration from scratch: for clients that have to show certificates, for more than one certificate,
/// and so on.
///
/// TLS 1.2 and 1.3 with the cryptography of `ring`. For other cryptography, begin with rustls' own
/// [`ServerConfig::builder_with_provider`].
pub fn server_builder() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for all versions")
}

/// A client's configuration that trusts whom the system trusts: the certificates in the files that it has for that (or
/// in `SSL_CERT_FILE` and `SSL_CERT_DIR`), as they were when the first such configuration of the process was made.
///
/// Each call gives the same one, so that sessions are resumed. Reading the files blocks the thread, once, for some
/// milliseconds; [`open_tls_over_tcp_stream`](super::open_tls_over_tcp_stream()) has another thread do it.
///
/// # Errors
///
/// When there is no certificate that can be trusted.
pub fn client_config() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems have a few that are odd; the others count.
    let (usable, _) = roots.add_parsable_certificates(loaded.certs);
    if usable == 0 {
        let why = loaded.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        let message = format!("the system has no certificates to trust{why}");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    Ok(Arc::clone(CONFIG.get_or_init(|| finish(client_builder().with_root_certificates(roots)))))
}

/// A client's configuration that trusts these certificates, and those that were signed with them, and nobody else.
///
/// # Errors
///
/// [`TlsError`] (inside the `io::Error`) if one of them can't be understood.
pub fn client_config_trusting(
    certificates: impl IntoIterator<Item = CertificateDer<'static>>,
) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(TlsError::from)?;
    }
    Ok(finish(client_builder().with_root_certificates(roots)))
}

fn finish(builder: ConfigBuilder<ClientConfig, WantsClientCert>) -> Arc<ClientConfig> {
    Arc::new(builder.with_no_client_auth())
}

/// A server's configuration with its certificate, followed by those with which that was signed, and the key to the
/// first. Clients need not show any.
///
/// # Errors
///
/// [`TlsError`] (inside the `io::Error`) if the certificate can't be understood, or the key is not the one to it.
///
/// # Examples
///
/// ```no_run
/// use std::sync::Arc;
/// use trio::tls::{self, rustls};
/// use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
/// fn from_files() -> trio::Result<Arc<rustls::ServerConfig>> {
///     let certificates = CertificateDer::pem_file_iter("server.crt")?.collect::<Result<_, _>>()?;
///     Ok(tls::server_config(certificates, PrivateKeyDer::from_pem_file("server.key")?)?)
/// }
/// # from_files().unwrap();
/// ```
pub fn server_config(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> io::Result<Arc<ServerConfig>> {
    let config = server_builder().with_no_client_auth().with_single_cert(certificates, key);
    Ok(Arc::new(config.map_err(TlsError::from)?))
}
