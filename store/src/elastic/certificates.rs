//! Whom we believe to be the server, and what is wrong where we do not.
//!
//! A refused certificate stays refused until someone changes a file, so it is told in one sentence with what to change, not tried again.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use elasticsearch::cert::{Certificate, CertificateValidation};
use rustls::CertificateError;

use super::client::cut;

/// Where Elasticsearch 8 keeps the certificate of its own authority.
const OWN_AUTHORITY: &str = "Elasticsearch keeps that of its own as config/certs/http_ca.crt";

/// The certificates that may vouch for a server, beside those of the public authorities.
pub(super) struct Authorities {
    path: PathBuf,
    text: Vec<u8>,
}

impl Authorities {
    /// Reads `store.ca_file`; one sentence if it cannot be used.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path)
            .map_err(|error| format!("`store.ca_file` = `{}` cannot be read: {error}", path.display()))?;
        let this = Self { path: path.to_owned(), text };
        this.validation().map(|_| this)
    }

    /// How a server is to be judged.
    pub(super) fn validation(&self) -> Result<CertificateValidation, String> {
        Certificate::from_pem(&self.text).map(CertificateValidation::Full).map_err(|_| self.refused())
    }

    /// One sentence for what holds no certificate that can be read.
    pub(super) fn refused(&self) -> String {
        format!(
            "`store.ca_file` = `{}` holds no certificate that can be read; it must be one or more in PEM (-----BEGIN CERTIFICATE-----)",
            self.path.display()
        )
    }
}

/// One sentence about the certificate of `node` if it is what a request failed for; `None` if it was something else.
pub(super) fn complaint(error: &(dyn Error + 'static), node: &str, ca_file: Option<&Path>) -> Option<String> {
    let told = match rustls_error(error)? {
        rustls::Error::InvalidCertificate(reason) => reason,
        rustls::Error::InvalidMessage(_) => {
            return Some(format!(
                "{node} does not speak TLS; let its address in `store.urls` begin with http://, or switch TLS on there"
            ));
        }
        _ => return None,
    };
    let authority = ca_file.map_or_else(
        || "no public authority vouches for it: set `store.ca_file` to the certificate (PEM) of the authority that signed it".to_owned(),
        |path| {
            format!(
                "the authority in `store.ca_file` = `{}` has not signed it: give the certificate (PEM) of the one that did",
                path.display()
            )
        },
    );
    let what = match told {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!("{authority} ({OWN_AUTHORITY})")
        }
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "it is for {}: write one of these names into `store.urls`, or have it made anew for this one",
            names(presented)
        ),
        CertificateError::NotValidForName => {
            "it is for another name: write that into `store.urls`, or have it made anew for this one"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired: have it made anew, or mend this machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet: mend this machine's clock, or have it made anew".to_owned()
        }
        CertificateError::Revoked => "it was revoked: have it made anew".to_owned(),
        other => format!("it cannot be used ({other}): have it made anew by an authority for servers"),
    };
    Some(format!("the certificate of {node} is refused; {}", cut(&what)))
}

/// The names that a certificate is for, as they are written in an address.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        format!("`{}`", inner.trim_matches('"'))
    };
    if presented.is_empty() {
        return "no name at all".to_owned();
    }
    presented.iter().map(plain).collect::<Vec<_>>().join(", ")
}

/// What TLS says, if that is what is at the bottom of an error.
fn rustls_error<'error>(error: &'error (dyn Error + 'static)) -> Option<&'error rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    // An I/O error that wraps another one does not name it as its source.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => rustls_error(wrapped),
        None => error.source().and_then(|source| rustls_error(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: rustls::Error, ca_file: Option<&str>) -> Option<String> {
        let wrapped = std::io::Error::other(std::io::Error::other(error));
        complaint(&wrapped, "es:9200", ca_file.map(Path::new))
    }

    #[test]
    fn each_fault_of_a_certificate_is_one_sentence_with_what_to_do() {
        let certificate = rustls::Error::InvalidCertificate;
        for (error, ca_file, words) in [
            (certificate(CertificateError::UnknownIssuer), None, "set `store.ca_file`"),
            (certificate(CertificateError::UnknownIssuer), Some("/ca.pem"), "`/ca.pem` has not signed it"),
            (certificate(CertificateError::Expired), None, "expired"),
            (certificate(CertificateError::NotValidYet), None, "clock"),
            (certificate(CertificateError::NotValidForName), None, "store.urls"),
            (certificate(CertificateError::BadEncoding), None, "cannot be used"),
            (rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), None, "http://"),
        ] {
            let text = told(error, ca_file).unwrap();
            assert!(text.contains(words) && text.contains("es:9200"), "{text}");
        }
        assert_eq!(told(rustls::Error::HandshakeNotComplete, None), None);
        assert_eq!(complaint(&std::fmt::Error, "es:9200", None), None);
    }

    #[test]
    fn names_are_told_as_they_are_written_in_addresses() {
        let presented = ["DnsName(\"es.example\")", "IpAddress(10.0.0.2)", "odd"].map(str::to_owned);
        assert_eq!(names(&presented), "`es.example`, `10.0.0.2`, `odd`");
        assert_eq!(names(&[]), "no name at all");
    }
}
