//! Derive macro for modules.
