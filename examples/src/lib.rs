//! Runnable programs, one a deployment: see the files beside this folder.
