/// The databases that a URL can name.
public enum RecordsDatabase {
    /// Opens what the URL names: `sqlite:PATH`, with `?synchronous=full` for a sync of each commit, or
    /// `postgres://user:password@host:port/database` with libpq's options and `pool`, the number of connections (4).
    public static func open(url: String) throws(RecordsError) -> any Records {
        guard let colon = url.firstIndex(of: ":") else {
            throw RecordsError(.invalidURL, "the database URL is neither sqlite:PATH nor postgres://...")
        }
        let scheme = url[..<colon]
        if scheme == "postgres" || scheme == "postgresql" { return try PostgresRecords(url: url) }
        guard scheme == "sqlite" else {
            throw RecordsError(
                .invalidURL, "the database URL's scheme '\(scheme)' is neither sqlite nor postgres")
        }
        let parts = url[url.index(after: colon)...].split(separator: "?", maxSplits: 1)
        guard let path = parts.first else {
            throw RecordsError(.invalidURL, "the database URL names no file")
        }
        var synchronous = "normal"
        for option in parts.dropFirst().first?.split(separator: "&") ?? [] {
            let pair = option.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, pair[0] == "synchronous" else {
                throw RecordsError(.invalidURL, "unknown option '\(pair.first ?? "")' in the database URL")
            }
            synchronous = String(pair[1])
        }
        return try SQLiteRecords(path: String(path), synchronous: synchronous)
    }
}
