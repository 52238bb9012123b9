internal import FoundationEssentials
internal import Glibc

/// Has this process die or freeze where it is told to: the places between two steps of which a crash must cost nothing.
///
/// For proofs and exercises, by the variable `FRESHET_DRILL`: `after-commit=kill/1000,before-publish=freeze/500` kills the process
/// (SIGKILL) at one of 1,000 times that it has just committed, and freezes it (SIGSTOP) at one of 500 times that it is about to
/// publish. Whoever froze it wakes it again. Costs a comparison where nothing is said.
package enum Drill {
    /// A place.
    package enum Step: String, CaseIterable, Sendable {
        case beforeHandler = "before-handler"
        /// The provider has answered, and nobody has written it down.
        case afterOutsideCall = "after-outside-call"
        case beforeCommit = "before-commit"
        case afterCommit = "after-commit"
        case beforeAcknowledge = "before-acknowledge"
        case afterAcknowledge = "after-acknowledge"
        case beforePublish = "before-publish"
        case afterPublish = "after-publish"
        case afterMark = "after-mark"
    }

    private struct Order {
        let step: Step
        let signal: Int32
        let oneOf: Int
    }

    private static let orders = parse(ProcessInfo.processInfo.environment["FRESHET_DRILL"] ?? "")

    /// What is wrong with the variable, or else what was ordered; nil when nothing was.
    package static var description: (text: String, isValid: Bool)? {
        switch orders {
        case .failure(let error):
            ("FRESHET_DRILL: '\(error.part)' is not step=kill/N or step=freeze/N", false)
        case .success(let orders) where orders.isEmpty: nil
        case .success(let orders):
            (
                orders.map { "\($0.step.rawValue)=\($0.signal == SIGSTOP ? "freeze" : "kill")/\($0.oneOf)" }
                    .joined(separator: ","), true
            )
        }
    }

    private struct BadPart: Error { let part: String }

    private static func parse(_ text: String) -> Result<[Order], BadPart> {
        var orders: [Order] = []
        for part in text.split(separator: ",") {
            let words = part.split(whereSeparator: { $0 == "=" || $0 == "/" }).map(String.init)
            let signals = ["kill": SIGKILL, "freeze": SIGSTOP]
            guard words.count == 3, let step = Step(rawValue: words[0]), let signal = signals[words[1]],
                let oneOf = Int(words[2]), oneOf > 0
            else { return .failure(BadPart(part: String(part))) }
            orders.append(Order(step: step, signal: signal, oneOf: oneOf))
        }
        return .success(orders)
    }

    /// The process is there.
    package static func reached(_ step: Step) {
        guard isOn, case .success(let orders) = orders else { return }
        for order in orders where order.step == step && Int.random(in: 0..<order.oneOf) == 0 {
            let line = Array(
                "drill: \(order.signal == SIGSTOP ? "frozen" : "killed") at \(step.rawValue)\n".utf8)
            _ = unsafe write(STDERR_FILENO, line, line.count)
            kill(getpid(), order.signal)
        }
    }

    /// Whether something was ordered.
    package static let isOn = description != nil
}
