internal import Hiredis

/// Events of one partition that go together.
struct ReplayBatch: Sendable {
    let partition: Int
    let entries: ArraySlice<StreamEntry>
    /// The last event of the partition before them.
    let mark: StreamID?
    /// What puts all of them behind that one, for an output that can say beforehand.
    let call: RedisPipeline?
}

/// A plan's events in batches, each put into words before it is its turn, while the page behind it is being read.
actor ReplayBatches {
    private let filter: ReplayFilter
    private let output: any ReplayOutput
    private var input: ReplayInput
    private var page: ReplayInput.Page?
    /// The last event of each partition that was given out.
    private var marks: [Int: StreamID]

    init(_ plan: ReplayPlan, _ reader: ReplayReader, for output: any ReplayOutput) async throws {
        (filter, self.output, marks) = (plan.filter, output, output.positions)
        input = try await ReplayInput(plan, reader, behind: output.positions)
        try await read()
    }

    /// The next batch; nil at the end. One call at a time.
    func next() async throws -> ReplayBatch? {
        guard let page else { return nil }
        async let batch = Self.batch(of: page, filter, output, behind: marks[page.partition])
        try await read()
        let made = await batch
        marks[made.partition] = made.entries.last?.id ?? made.mark
        return made
    }

    private func read() async throws {
        var input = input
        page = try await input.next()
        self.input = input
    }

    @concurrent private static func batch(
        of page: ReplayInput.Page, _ filter: ReplayFilter, _ output: any ReplayOutput,
        behind mark: StreamID?
    ) async -> ReplayBatch {
        let entries = filter.selected(of: page.entries)
        return ReplayBatch(
            partition: page.partition, entries: entries, mark: mark,
            call: output.call(putting: entries, of: page.partition, behind: mark))
    }
}
