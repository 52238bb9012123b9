import FreshetService
import Testing

@Suite struct ExitStatusTests {
    @Test func `exit codes are those that scripts rely on`() {
        let codes: [FreshetService.ExitStatus: Int32] = [
            .done: 0, .failed: 1, .partlyDone: 2, .usage: 64, .badData: 65, .unreachable: 69, .tryAgain: 75,
            .badConfiguration: 78, .interrupted: 130,
        ]
        for (status, code) in codes { #expect(status.rawValue == code) }
    }
}
