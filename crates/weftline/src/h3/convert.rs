//! Heads as the `http` crate has them.

use alloc::string::String;
use bytes::Bytes;
use http::{Uri, uri};

use super::{Fields, RequestHead, ResponseHead};

/// `:protocol` of an extended CONNECT (RFC 9220), among the extensions of an [`http::Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol(pub String);

impl TryFrom<RequestHead> for http::Request<()> {
    type Error = http::Error;

    /// Fails where the parts are not legal, which those of a received head always are unless its
    /// target is none the `http` crate knows.
    fn try_from(head: RequestHead) -> Result<Self, http::Error> {
        let mut target = uri::Parts::default();
        target.scheme = head.scheme.as_deref().map(str::parse).transpose()?;
        target.authority = head.authority.as_deref().map(str::parse).transpose()?;
        target.path_and_query = head.path.as_deref().map(str::parse).transpose()?;
        let mut request = Self::new(());
        *request.method_mut() = head.method.parse()?;
        *request.uri_mut() = Uri::from_parts(target)?;
        *request.version_mut() = http::Version::HTTP_3;
        *request.headers_mut() = headers(&head.fields)?;
        if let Some(protocol) = head.protocol {
            request.extensions_mut().insert(Protocol(protocol));
        }
        Ok(request)
    }
}

impl From<http::Request<()>> for RequestHead {
    /// Whether the result is legal is checked when it is sent.
    fn from(request: http::Request<()>) -> Self {
        let uri = request.uri();
        let protocol = request.extensions().get::<Protocol>();
        let is_tunnel = request.method() == http::Method::CONNECT && protocol.is_none();
        let path = match uri.path_and_query() {
            _ if is_tunnel => None,
            Some(path) => Some(path.as_str().into()),
            None => Some("/".into()),
        };
        Self {
            method: request.method().as_str().into(),
            scheme: uri.scheme_str().map(Into::into),
            authority: uri.authority().map(|authority| authority.as_str().into()),
            path,
            protocol: protocol.map(|protocol| protocol.0.clone()),
            fields: fields(request.headers()),
        }
    }
}

impl TryFrom<ResponseHead> for http::Response<()> {
    type Error = http::Error;

    fn try_from(head: ResponseHead) -> Result<Self, http::Error> {
        let mut response = Self::new(());
        *response.status_mut() = http::StatusCode::from_u16(head.status)?;
        *response.version_mut() = http::Version::HTTP_3;
        *response.headers_mut() = headers(&head.fields)?;
        Ok(response)
    }
}

impl From<http::Response<()>> for ResponseHead {
    /// Whether the result is legal is checked when it is sent.
    fn from(response: http::Response<()>) -> Self {
        Self {
            status: response.status().as_u16(),
            fields: fields(response.headers()),
        }
    }
}

fn headers(fields: &Fields) -> Result<http::HeaderMap, http::Error> {
    let mut headers = http::HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        let name = http::HeaderName::from_bytes(name.as_bytes())?;
        headers.try_append(name, http::HeaderValue::from_bytes(value)?)?;
    }
    Ok(headers)
}

fn fields(headers: &http::HeaderMap) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in headers {
        fields.push(name.as_str(), Bytes::copy_from_slice(value.as_bytes()));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h3::{check_request, check_response};

    fn head(method: &str) -> RequestHead {
        let mut head = RequestHead {
            method: method.into(),
            scheme: Some("https".into()),
            authority: Some("example.com:4433".into()),
            path: Some("/a?b=c".into()),
            ..RequestHead::default()
        };
        head.fields.push("x", "1");
        head.fields.push("x", "2");
        head
    }

    #[test]
    fn requests_round_trip() {
        let mut extended = head("CONNECT");
        extended.protocol = Some("webtransport".into());
        let tunnel = RequestHead {
            scheme: None,
            path: None,
            ..head("CONNECT")
        };
        for head in [head("GET"), extended, tunnel] {
            let request = http::Request::try_from(head.clone()).unwrap();
            assert_eq!(request.version(), http::Version::HTTP_3);
            assert_eq!(request.headers().get_all("x").iter().count(), 2);
            let back = RequestHead::from(request);
            assert_eq!(back, head);
            check_request(&back).unwrap();
        }
    }

    #[test]
    fn a_request_made_with_http() {
        let request = http::Request::get("https://example.com")
            .header("Accept", "*/*")
            .body(())
            .unwrap();
        let head = RequestHead::from(request);
        assert_eq!(head.path.as_deref(), Some("/"));
        assert_eq!(head.fields.get("accept"), Some(&b"*/*"[..]));
        check_request(&head).unwrap();
    }

    #[test]
    fn responses_round_trip() {
        let mut head = ResponseHead {
            status: 404,
            fields: Fields::new(),
        };
        head.fields.push("server", "weftline");
        let response = http::Response::try_from(head.clone()).unwrap();
        assert_eq!(response.status(), http::StatusCode::NOT_FOUND);
        let back = ResponseHead::from(response);
        assert_eq!(back, head);
        check_response(&back).unwrap();
    }
}
