/** Holds docs/architecture.md to the source: every folder has its line, and every name stands in the file given for it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8')

const diagram = /^```mermaid$(.*?)^```$/ms.exec(text)?.[1] ?? ''

/** What stands in backticks outside the diagram. */
const codes = [...text.replace(/^```.*?^```$/gms, '').matchAll(/`([^`\n]+)`/g)].map(
  match => match[1] as string,
)

/** A name in a file: `path:name`, or in the diagram a box "name<br>path". */
interface Named {
  path: string
  name: string
}

const inText = codes.flatMap((code): Named[] => {
  const [, path, name] = /^([^:\s]+\.tsx?):(\S+)$/.exec(code) ?? []
  return path && name ? [{ path, name }] : []
})

const inDiagram = [...diagram.matchAll(/"([^"<]+)<br>([^"]+)"/g)].map(
  ([, name = '', path = '']): Named => ({ path, name }),
)

/** The name that a declaration gives, unless it is a local one such as a parameter or a variable in a function. */
function nameOf(node: ts.Node): string | undefined {
  if (
    ts.isFunctionDeclaration(node) ||
    ts.isClassDeclaration(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node) ||
    ts.isClassElement(node) ||
    ts.isTypeElement(node) ||
    ts.isPropertyAssignment(node) ||
    (ts.isVariableDeclaration(node) && node.parent.parent.parent.kind === ts.SyntaxKind.SourceFile)
  ) {
    const { name } = node
    if (name && (ts.isIdentifier(name) || ts.isPrivateIdentifier(name))) return name.text
  }
  return undefined
}

const known = new Map<string, ReadonlySet<string>>()

/** All that a file defines: `name`, `Class.method`, and `function.method` for what a function returns. */
function definedIn(path: string): ReadonlySet<string> {
  const before = known.get(path)
  if (before) return before
  const names = new Set<string>()
  known.set(path, names)
  const source = ts.createSourceFile(
    path,
    readFileSync(join(root, path), 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  )
  const visit = (node: ts.Node, scope: string): void => {
    const name = nameOf(node)
    const inner = name === undefined ? scope : scope + name
    if (name !== undefined) names.add(inner)
    ts.forEachChild(node, child => visit(child, name === undefined ? scope : `${inner}.`))
  }
  visit(source, '')
  return names
}

/** Folders below this one that have source files, itself included. */
function foldersIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap(entry => {
    if (entry.isFile()) return /\.tsx?$/.test(entry.name) ? [`${folder}/`] : []
    return ['dist', 'node_modules', 'page'].includes(entry.name) ? [] : foldersIn(`${folder}/${entry.name}`)
  })
}

/** The part under a heading, up to the next heading of any level. */
function sectionOf(heading: string): string {
  const section = text.split(/^#+ /m).find(part => part.startsWith(`${heading}\n`))
  if (section === undefined) throw new Error(`docs/architecture.md has no heading ${heading}`)
  return section
}

t.test('every file and folder named in docs/architecture.md exists', async t => {
  const paths = codes.flatMap(code => {
    const [, path] = /^([\w.][\w./-]*(?:\.(?:tsx?|mjs|json|md)|\/))(?::|$)/.exec(code) ?? []
    return path ? [path] : []
  })
  t.ok(paths.length > 100, `${paths.length} files and folders`)
  for (const path of new Set(paths)) {
    if (!existsSync(join(root, path))) t.fail(`no file or folder ${path}`)
  }
})

t.test('every name in docs/architecture.md is defined in the file given for it', async t => {
  t.ok(inText.length > 80, `${inText.length} names in the text`)
  t.ok(inDiagram.length > 15, `${inDiagram.length} names in the diagram`)
  for (const { path, name } of [...inText, ...inDiagram]) {
    if (!existsSync(join(root, path))) t.fail(`no file ${path}, which should define ${name}`)
    else if (!definedIn(path).has(name)) t.fail(`${path} does not define ${name}`)
  }
})

t.test('every folder with source files has its line', async t => {
  const lines = [...sectionOf('Folders').matchAll(/^\| `([^`]+\/)` \| \S/gm)].map(([, folder]) => folder)
  const folders = ['src', 'client'].flatMap(foldersIn)
  t.same(lines.toSorted(), [...new Set(folders)].sort())
})

t.test('every step of a walk begins with a file and a name', async t => {
  for (const walk of [
    'Agent to client',
    'WebSocket command',
    'Resume',
    'Crash and takeover',
    'Run without viewers',
  ]) {
    const steps = sectionOf(walk).match(/^\d+\. .*$/gm) ?? []
    t.ok(steps.length >= 8, `${walk}: ${steps.length} steps`)
    for (const step of steps) t.match(step, /^\d+\. `(src|client)\/[^`]+:[^`]+`/)
    t.same(
      steps.map(step => Number.parseInt(step, 10)),
      steps.map((_, i) => i + 1),
      `${walk}: numbered from 1`,
    )
  }
})
