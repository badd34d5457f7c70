"""Where payloads come from: files that ship inside a package, and files of the user."""
