/// The documentation as a site: `build.fsx site`.
module Peft.Tests.SiteTests

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open Expecto
open Peft.Tests.Support

let private docs = Path.Combine(root, "docs")

let private pagesOf (pattern: string) =
    Directory.GetFiles(docs, pattern, SearchOption.AllDirectories)
    |> Array.map (fun path -> Path.GetRelativePath(docs, path))
    |> Array.filter (fun path ->
        not (path.StartsWith("report" + string Path.DirectorySeparatorChar, StringComparison.Ordinal)))
    |> List.ofArray

let private links (text: string) (pattern: string) : string list =
    [
        for found in Regex.Matches(text, pattern) do
            let target = found.Groups[1].Value

            if not (Regex.IsMatch(target, "^([a-z]+:|#|$)")) then
                target.Split('#')[0]
    ]

/// Links of a file to what is not there.
let private broken (folder: string) (file: string) (pattern: string) : string list =
    let path = Path.Combine(folder, file)

    links (File.ReadAllText path) pattern
    |> List.filter (fun target ->
        let full =
            Path.GetFullPath(Path.Combine(nonNull (Path.GetDirectoryName path), target))

        not (File.Exists full || Directory.Exists full))
    |> List.map (fun target -> $"{file}: {target}")

let private build () =
    let start =
        ProcessStartInfo(
            "dotnet",
            [ "fsi"; "build.fsx"; "pages" ],
            WorkingDirectory = root,
            RedirectStandardOutput = true,
            RedirectStandardError = true
        )

    use site =
        match Process.Start start with
        | null -> failtest "dotnet could not be started"
        | started -> started

    let errors = site.StandardError.ReadToEndAsync()
    let output = site.StandardOutput.ReadToEndAsync()

    if not (site.WaitForExit(TimeSpan.FromMinutes 5.0)) then
        site.Kill true
        failtest "the site takes more than five minutes"

    Expect.equal site.ExitCode 0 (errors.Result + output.Result)

[<Tests>]
let tests =
    testList
        "Site"
        [
            testCase "every page of the documentation and the README link to what is there"
            <| fun () ->
                let markdown = @"\]\(([^)\s]+)\)"

                let found =
                    broken root "README.md" markdown
                    @ (pagesOf "*.md" |> List.collect (fun page -> broken docs page markdown))
                    // The site's own names.
                    |> List.filter (fun link -> not (link.EndsWith(".html", StringComparison.Ordinal)))

                Expect.isEmpty found "links to nothing"

            testCase "every page stands in the site's list"
            <| fun () ->
                let template = File.ReadAllText(Path.Combine(docs, "_template.html"))

                for page in pagesOf "*.md" @ pagesOf "*.fsx" do
                    let name = (nonNull (Path.ChangeExtension(page, ".html"))).Replace('\\', '/')
                    Expect.stringContains template name "a page that no list names"

            testCase "it is built without a network, and its pages link to what is there"
            <| fun () ->
                if String.IsNullOrEmpty(Environment.GetEnvironmentVariable "PEFT_ALL_LESSONS") then
                    skiptest "it takes half a minute: set PEFT_ALL_LESSONS=1, or run build.fsx site"

                build ()
                let site = Path.Combine(root, "site")

                let pages =
                    Directory.GetFiles(site, "*.html", SearchOption.AllDirectories)
                    |> Array.map (fun path -> Path.GetRelativePath(site, path))
                    |> Array.filter (fun page -> page <> Path.Combine("report", "report.html"))
                    |> List.ofArray

                Expect.isGreaterThan pages.Length 100 "pages of the guide and of the reference"

                Expect.isEmpty
                    (pages |> List.collect (fun page -> broken site page "(?:href|src)=\"([^\"]*)\""))
                    "links to nothing"

                for page in pages do
                    let text = File.ReadAllText(Path.Combine(site, page))
                    Expect.isFalse (text.Contains "<script src=\"http") $"{page} fetches nothing"
                    Expect.isFalse (text.Contains "{{") $"{page} has nothing left to fill in"
        ]
