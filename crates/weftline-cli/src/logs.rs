//! What the user wants to keep of connections: qlog files and TLS secrets.

use std::{
    env,
    io::{self, Write},
    path::Path,
    path::PathBuf,
    sync::Arc,
};

use weftline::config::Builder;
use weftline_qlog::Qlog;

use crate::{
    args::LogArgs,
    failure::{Failure, printable},
};

/// Where logs go.
#[derive(Clone)]
pub(crate) struct Logs {
    qlog: Option<Arc<Qlog>>,
    keylog: Option<PathBuf>,
}

impl Logs {
    /// Makes ready what was asked for. That secrets are written is said, wherever the wish came
    /// from: it may be a forgotten variable.
    pub(crate) fn new(args: &LogArgs) -> Result<Self, Failure> {
        let qlog = match &args.qlog_dir {
            Some(dir) => Some(Arc::new(Qlog::in_dir(dir).map_err(|error| {
                Failure::new(format!("cannot log into {}: {error}", dir.display()))
                    .advice("give another directory with --qlog-dir")
            })?)),
            None => None,
        };
        let from_env = env::var_os("SSLKEYLOGFILE").filter(|file| !file.is_empty());
        let keylog = args.keylog.clone();
        if let Some(file) = keylog.clone().or(from_env.map(PathBuf::from)) {
            note(&format!(
                "TLS secrets go to {}: whoever reads it reads the connections",
                file.display()
            ));
        }
        Ok(Self { qlog, keylog })
    }

    /// The file for TLS secrets that was named on the command line.
    pub(crate) fn keylog(&self) -> Option<&Path> {
        self.keylog.as_deref()
    }

    /// Has connections logged.
    pub(crate) fn watch<P: ?Sized>(&self, builder: Builder<P>) -> Builder<P> {
        match &self.qlog {
            Some(qlog) => builder.probe(qlog.clone()),
            None => builder,
        }
    }

    /// Says what went wrong with logging.
    pub(crate) fn report(&self) {
        if let Some(error) = self.qlog.as_ref().and_then(|qlog| qlog.take_error()) {
            note(&format!("some of the qlog is missing: {error}"));
        }
    }
}

/// Something to know that stops nothing.
fn note(text: &str) {
    // Nobody may be listening.
    let _ = writeln!(io::stderr(), "weftline: note: {}", printable(text));
}
