/// Sends pipelines on several connections at once and waits for all outcomes, in the order of the parts. When the task
/// is cancelled every part ends at once.
func exchange(
    _ parts: [(core: ConnectionCore, pipeline: RedisPipeline)], timeout: Duration, block: Duration = .zero,
    on loop: RedisEventLoop
) async -> [Request.Outcome] {
    guard !parts.isEmpty else { return [] }
    let requests = parts.map { Request($0.pipeline, timeout: timeout, block: block) }
    let cores = parts.map(\.core)
    let gathering = Gathering(count: parts.count)
    return await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
            for (index, request) in requests.enumerated() {
                request.caller = .closure { gathering.add($0, at: index) }
            }
            loop.execute {
                gathering.continuation = continuation
                for (core, request) in zip(cores, requests) { core.submit(request) }
            }
        }
    } onCancel: {
        loop.execute { for (core, request) in zip(cores, requests) { core.cancel(request) } }
    }
}

/// `@unchecked Sendable` because it belongs to the loop's thread.
private final class Gathering: @unchecked Sendable {
    var continuation: CheckedContinuation<[Request.Outcome], Never>?
    private var outcomes: [Request.Outcome?]
    private var missing: Int

    init(count: Int) {
        outcomes = Array(repeating: nil, count: count)
        missing = count
    }

    func add(_ outcome: Request.Outcome, at index: Int) {
        outcomes[index] = outcome
        missing -= 1
        guard missing == 0 else { return }
        continuation?.resume(returning: outcomes.compactMap { $0 })
    }
}
