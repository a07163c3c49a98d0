package structure_test

import (
	"go/ast"
	"testing"
)

// declaredNames returns the names that the repository declares, as package.Name,
// Type.Method and Type.Field, and the functions and types of each file.
func declaredNames(t *testing.T) (declared map[string]bool, files map[string][]string) {
	declared, files = map[string]bool{}, map[string][]string{}
	for _, f := range parse(t, "").files {
		functions(f, func(fn *ast.FuncDecl) {
			name := fn.Name.Name
			files[f.path()] = append(files[f.path()], name)
			if r := receiver(fn); r != "" {
				declared[r+"."+name] = true
			} else {
				declared[f.Name.Name+"."+name] = true
			}
		})
		ast.Inspect(f.File, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			files[f.path()] = append(files[f.path()], spec.Name.Name)
			declared[f.Name.Name+"."+spec.Name.Name] = true
			for _, name := range members(spec.Type) {
				declared[spec.Name.Name+"."+name] = true
			}
			return false
		})
	}
	return declared, files
}

// members returns the fields of a struct, or the methods of an interface.
func members(x ast.Expr) (names []string) {
	var list *ast.FieldList
	switch x := x.(type) {
	case *ast.StructType:
		list = x.Fields
	case *ast.InterfaceType:
		list = x.Methods
	default:
		return nil
	}
	for _, field := range list.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return names
}
