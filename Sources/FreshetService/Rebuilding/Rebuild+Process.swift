internal import ArgumentParser
internal import ServiceLifecycle

extension Rebuild {
    /// Rebuilds as all that a process does: with the report on standard output, as a table on a terminal and as one JSON document
    /// elsewhere. Throws `interrupted` when the process is asked to stop, and `ExitCode` for a dry run that found a difference.
    static func runAlone(
        _ worker: Worker, _ options: RebuildOptions,
        services: @escaping @Sendable (Worker) async throws -> [any Service], until stop: StopRequest
    ) async throws {
        let report = try await withThrowingTaskGroup(of: RebuildReport?.self) { tasks in
            tasks.addTask { try await run(worker, options: options, services: services) }
            tasks.addTask {
                await stop.wait()
                return nil
            }
            defer { tasks.cancelAll() }
            guard let report = try await tasks.next() ?? nil else {
                tasks.cancelAll()
                // It may have come to its end all the same.
                while let ending = await tasks.nextResult() {
                    if case .success(let report?) = ending { return report }
                }
                throw ToolError(.interrupted, "interrupted: the tables in use are as they were")
            }
            return report
        }
        if StandardOutput.terminalWidth != nil {
            for line in report.lines { StandardOutput.write(line) }
        } else {
            StandardOutput.write(try OutputOptions.json(report, pretty: true))
        }
        for advice in report.advice { StandardError.write(advice) }
        if options.isDryRun, !report.isEqual { throw ExitCode(ExitStatus.partlyDone.rawValue) }
    }
}
