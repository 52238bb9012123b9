internal import ArgumentParser
internal import FreshetReplay

extension ReplayPoint {
    /// A place on the command line.
    static func parsing(_ text: String) throws -> ReplayPoint {
        guard let point = ReplayPoint(text) else {
            throw ValidationError("'\(text)' is not one of: \(forms)")
        }
        return point
    }
}
