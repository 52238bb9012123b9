internal import ArgumentParser
internal import Freshet

extension Duration {
    /// A time on a command line: `500ms`, `10s`, `5m`, `2h`, `7d`.
    public static func parsing(_ text: String) throws -> Duration {
        guard let duration = Duration(spelled: text) else {
            throw ValidationError("'\(text)' is no duration: 500ms, 10s, 5m, 2h, 7d")
        }
        return duration
    }
}
